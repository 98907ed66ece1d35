"""Training recipes: which network is learned from which other one, at which rates (Long et al. 2015; Zheng et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from caffe.errors import CaffeError
from caffe.net_spec import NetSpec, Top
from crfasrnn.crf import options as words
from crfasrnn.crf.caffemodel import LAYER
from crfasrnn.networks import crfrnn, data_and_loss, deeplab, fcn, gru, slim, solvers

Body = Callable[[NetSpec, int, float], Top]


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    title: the network's name. body: adds the layers from `data` to the scores.
    start: the recipe whose result it starts from; None for published weights, those of `origin`, or if none are given those of the
        bundled model `model`.
    solver: makes the SolverParameter from the nets' path, the snapshots' path, base_lr and, if it differs, max_iter.
    normalize: the loss is the mean over the pixels, not the sum.
    crf_rates: learning-rate factors of the CRF's three blobs, the second also of further bilateral kernels, the first of a GRU that
        stands in the CRF's place; None for a network without CRF.
    bandwidth_rate: that of the logarithms of the kernels' widths, where they are learned. With Adam at these recipes' rate,
        falling to zero, a factor of 10 moves a logarithm by at most 0.26 in 1,000 steps. For SGD the gradients decide: on
        five images behind DeepLab's scores they were -0.016, -0.003 and -0.009 of the mean loss (theta_alpha, theta_beta,
        theta_gamma), at which 30, and 1,000 for the sum over pixels, widen the kernels by some per cent.
    crf_start: widths of its kernels, and the weights that they start from.
    frozen: the CRF alone is learned; the network beneath runs as in testing.
    """

    title: str
    body: Body
    start: str | None
    solver: Callable[..., Any]
    base_lr: float
    normalize: bool
    _: KW_ONLY
    crf_rates: Sequence[float] | None = None
    bandwidth_rate: float = 10
    crf_start: crfrnn.Kernels = crfrnn.PUBLISHED
    frozen: bool = False
    origin: str = "VGG-16"
    model: str | None = None

    @property
    def steps(self) -> int:
        """How many steps it trains."""
        return int(self.solver("", "", self.base_lr).max_iter)


@dataclass(frozen=True)
class RecipeOptions:
    """What an experiment changes in a recipe.

    width: factor of the number of channels. iterations: of mean field in training. deploy_iterations: and in testing (None:
    10, or as in training where the iterations are untied). variant: of the CRF. loss: one of crf.options.LOSSES.
    crf_rate: factor of the recipe's learning-rate factors of the CRF.
    refiner: what refines the scores, "crf" or "gru" (crfasrnn.networks.gru), with as many iterations.

    Raises CaffeError for another refiner or loss, and for a variant of the CRF where there is none.
    """

    width: float = 1
    iterations: int = crfrnn.ITERATIONS_TRAIN
    deploy_iterations: int | None = None
    variant: crfrnn.Variant = field(default_factory=crfrnn.Variant)
    loss: str = "softmax"
    crf_rate: float = 1
    refiner: str = "crf"

    def __post_init__(self) -> None:
        if self.refiner not in words.REFINERS:
            raise CaffeError(f"refiner must be one of {', '.join(words.REFINERS)}, not {self.refiner!r}")
        if self.loss not in words.LOSSES:
            raise CaffeError(f"loss must be one of {', '.join(words.LOSSES)}, not {self.loss!r}")
        if self.refiner != "crf" and self.variant != crfrnn.Variant():
            raise CaffeError(f"refiner {self.refiner!r} is no CRF: a variant of the CRF has no meaning for it")

    @property
    def iterations_in_testing(self) -> int:
        """How many mean-field iterations the deploy net has."""
        if self.variant.untied:
            return self.iterations
        return self.deploy_iterations or crfrnn.ITERATIONS_DEPLOY


# Behind the slim network, learning must be gentle, or it loses what the CRF gives at its start. Mean IU on 60 images held out of
# training (one seed; 57.9 % without a CRF) after 1000 steps: 64.3 % at these rates, 61.6 % at twice base_lr; with the head's layers
# learning ten times as fast as the trunk, as they do while they are new, 63.3 %, and with both 56.4 %. (The CRF was at 5, 5 and
# 0.5 times base_lr then, at which its weights move by 0.02.)
_PUBLISHED_RATES, _SLIM_RATES = (10000, 10000, 1000), (125, 125, 12)
_PUBLISHED_CRF: dict[str, Any] = {"crf_rates": _PUBLISHED_RATES, "bandwidth_rate": 1000}
_FCN_LR, _CRF_LR = 2e-4, 5e-5
# The published weights, 3 and 5, are for the scores of the published network. Here they make the CRF so sure of itself that the
# loss doubles, 0.56 instead of 0.25 without a CRF; these give the same mean IU at 0.35.
_SLIM_START = crfrnn.Kernels(spatial_weight=1.5, bilateral_weight=3)
_SLIM_LONGER: dict[str, Any] = {
    "bandwidth_rate": 30,
    "solver": solvers.slim_short,
    "base_lr": _CRF_LR,
    "normalize": True,
}

# The published weights, as good as those of a trained network: what CRF-RNN adds is the difference to the network trained as long.
_DEEPLAB: dict[str, Any] = {
    "body": deeplab.deeplab, "start": None, "solver": solvers.deeplab, "base_lr": 5e-5, "normalize": True,
    "origin": "DeepLabv3 on MobileNetV2", "model": "voc21-deeplab",
}  # fmt: skip
_DEEPLAB_RATES = (100, 100, 10)
_DEEPLAB_START = crfrnn.Kernels(theta_alpha=30, theta_beta=4, theta_gamma=3, spatial_weight=1, bilateral_weight=3)

# The paper's solver, on a loss averaged over the pixels: with momentum 0.99 its rate of 1e-13 moves a weight in the long run by
# 1e-11 of the summed gradient, and so by 1.9e-6 of the mean one of an image of 500 x 375 pixels; with momentum 0.9 that is a rate
# of 1.9e-7. Its factors for the CRF stay: 1.9e-3 for the kernels' weights, 1.9e-4 for the compatibilities.
_CARRIED_OVER: dict[str, Any] = {
    "solver": solvers.carried_over, "base_lr": 1.9e-7, "normalize": True, "crf_rates": _PUBLISHED_RATES,
}  # fmt: skip

# The layers that score the classes.
SCORES = ("score-fr", "logits_semantic")

RECIPES: dict[str, Recipe] = {
    # FCN-32s, 16s and 8s are trained one from the other, at the rates of Long et al.; CRF-RNN then from FCN-8s.
    "fcn32s": Recipe("FCN-32s", fcn.fcn32s, None, solvers.published, 1e-10, False),
    "fcn16s": Recipe("FCN-16s", fcn.fcn16s, "fcn32s", solvers.published, 1e-12, False),
    "fcn8s": Recipe("FCN-8s", fcn.fcn8s, "fcn16s", solvers.published, 1e-14, False),
    "fcn8s-longer": Recipe("FCN-8s, trained on", fcn.fcn8s, "fcn8s", solvers.published, 1e-14, False),
    "crfrnn": Recipe("FCN-8s + CRF-RNN", fcn.fcn8s, "fcn8s", solvers.published, 1e-13, False, **_PUBLISHED_CRF),
    "crf-only": Recipe(
        "FCN-8s + CRF-RNN, CRF learned", fcn.fcn8s, "fcn8s", solvers.published, 1e-13, False, **_PUBLISHED_CRF,
        frozen=True
    ),
    "slim-fcn8s": Recipe("FCN-8s slim", slim.fcn8s, None, solvers.slim, _FCN_LR, True),
    # As many steps, at the same rates, as the CRF-RNN gets: what the CRF layer adds is the difference to this one.
    "slim-fcn8s-longer": Recipe("FCN-8s slim, trained on", slim.learned_fcn8s, "slim-fcn8s", **_SLIM_LONGER),
    "slim-crfrnn": Recipe(
        "FCN-8s slim + CRF-RNN", slim.learned_fcn8s, "slim-fcn8s", **_SLIM_LONGER, crf_rates=_SLIM_RATES, crf_start=_SLIM_START
    ),
    "slim-crf-only": Recipe(
        "FCN-8s slim + CRF-RNN, CRF learned", slim.learned_fcn8s, "slim-fcn8s", **_SLIM_LONGER, crf_rates=_SLIM_RATES,
        crf_start=_SLIM_START, frozen=True
    ),
    "slim-crfrnn-published": Recipe(
        "FCN-8s slim + CRF-RNN, the paper's rates", slim.learned_fcn8s, "slim-fcn8s", crf_start=_SLIM_START, **_CARRIED_OVER
    ),
    "deeplab": Recipe("DeepLabv3 on MobileNetV2", **_DEEPLAB),
    "deeplab-crfrnn": Recipe(
        "DeepLabv3 on MobileNetV2 + CRF-RNN", **_DEEPLAB, crf_rates=_DEEPLAB_RATES, crf_start=_DEEPLAB_START
    ),
    "deeplab-crf-only": Recipe(
        "DeepLabv3 on MobileNetV2 + CRF-RNN, CRF learned", **_DEEPLAB, crf_rates=_DEEPLAB_RATES, crf_start=_DEEPLAB_START,
        frozen=True
    ),
    "deeplab-crfrnn-published": Recipe(
        "DeepLabv3 on MobileNetV2 + CRF-RNN, the paper's rates", **{**_DEEPLAB, **_CARRIED_OVER}, crf_start=_DEEPLAB_START
    ),
}  # fmt: skip


def recipe(name: str) -> Recipe:
    """The recipe of that name; raises CaffeError with the known ones."""
    if name not in RECIPES:
        raise CaffeError(f"no recipe {name!r}: one of {', '.join(RECIPES)}")
    return RECIPES[name]


def deploy_net(made_by: Recipe, num_classes: int, options: RecipeOptions) -> Any:
    """The network that segments an image given in blob `data`."""
    n = NetSpec()
    data_and_loss.deploy_input(n)
    _scores(n, made_by, num_classes, options, options.iterations_in_testing)
    return _named(n, made_by, options)


def train_net(made_by: Recipe, num_classes: int, options: RecipeOptions, folder: str) -> Any:
    """The network that the solver learns from the databases in `folder`."""
    return _on_databases(made_by, num_classes, options, folder, accuracy=False)


def val_net(made_by: Recipe, num_classes: int, options: RecipeOptions, folder: str) -> Any:
    """The training network on other images, with the accuracy."""
    return _on_databases(made_by, num_classes, options, folder, accuracy=True)


def _on_databases(made_by: Recipe, num_classes: int, options: RecipeOptions, folder: str, accuracy: bool) -> Any:
    n = NetSpec()
    data_and_loss.lmdb_input(n, folder)
    scores = _scores(n, made_by, num_classes, options, options.iterations)
    if accuracy:
        data_and_loss.accuracy(n, scores)
    data_and_loss.loss(n, scores, made_by.normalize, options.loss)
    net = _named(n, made_by, options)
    return _frozen(net, _refiner(options)) if made_by.frozen else net


def _scores(n: NetSpec, made_by: Recipe, num_classes: int, options: RecipeOptions, iterations: int) -> Top:
    scores = made_by.body(n, num_classes, options.width)
    if made_by.crf_rates is None:
        return scores
    rates = [rate * options.crf_rate for rate in made_by.crf_rates]
    if options.refiner == "gru":
        return gru.conv_gru(n, scores, num_classes, iterations, rates[0])
    bandwidths = made_by.bandwidth_rate * options.crf_rate
    return crfrnn.mean_field(n, scores, num_classes, iterations, rates, made_by.crf_start, options.variant, bandwidths)


def _refiner(options: RecipeOptions) -> str:
    """How the names of the layers begin that refine the scores."""
    return gru.PREFIX if options.refiner == "gru" else LAYER


def _frozen(net: Any, learned: str) -> Any:
    """The net learning nothing but the refiner, whose layers' names begin so, without dropout that would disturb what it sees."""
    for index in reversed(range(len(net.layer))):
        layer = net.layer[index]
        if layer.type == "Dropout":
            del net.layer[index]
        elif not layer.name.startswith(learned):
            for param in layer.param:
                param.lr_mult, param.decay_mult = 0, 0
    return net


def title(made_by: Recipe, options: RecipeOptions) -> str:
    """What the recipe's network is called with these options."""
    return made_by.title.replace("CRF-RNN", "GRU").replace("CRF", "GRU") if options.refiner == "gru" else made_by.title


def _named(n: NetSpec, made_by: Recipe, options: RecipeOptions) -> Any:
    net = n.to_proto()
    net.name = title(made_by, options)
    return net
