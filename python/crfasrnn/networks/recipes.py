"""Training recipes: which network is learned from which other one, at which rates (Long et al. 2015; Zheng et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from caffe.errors import CaffeError
from caffe.net_spec import NetSpec, Top
from crfasrnn.crf.caffemodel import LAYER
from crfasrnn.networks import crfrnn, data_and_loss, deeplab, fcn, slim, solvers

Body = Callable[[NetSpec, int, float], Top]


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    title: the network's name. body: adds the layers from `data` to the scores.
    start: the recipe whose result it starts from; None for published weights, those of `origin`, or if none are given those of the
        bundled model `model`.
    solver: makes the SolverParameter from the nets' path, the snapshots' path, base_lr and, if it differs, max_iter.
    normalize: the loss is the mean over the pixels, not the sum.
    crf_rates: learning-rate factors of the CRF's three blobs; None for a network without CRF.
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
    10, or as in training where the iterations are untied). variant: of the CRF. robust: the robust log-likelihood as loss.
    """

    width: float = 1
    iterations: int = crfrnn.ITERATIONS_TRAIN
    deploy_iterations: int | None = None
    variant: crfrnn.Variant = field(default_factory=crfrnn.Variant)
    robust: bool = False

    @property
    def iterations_in_testing(self) -> int:
        """How many mean-field iterations the deploy net has."""
        if self.variant.untied:
            return self.iterations
        return self.deploy_iterations or crfrnn.ITERATIONS_DEPLOY


# Behind the slim network, learning must be gentle, or it loses what the CRF gives at its start. Mean IU on 60 images held out of
# training (one seed; 57.9 % without a CRF) after 1000 steps: 64.3 % at these rates, 61.6 % at twice base_lr; with the head's layers
# learning ten times as fast as the trunk, as they do while they are new, 63.3 %, and with both 56.4 %.
_PUBLISHED_RATES, _SLIM_RATES = (10000, 10000, 1000), (5, 5, 0.5)
_FCN_LR, _CRF_LR = 2e-4, 5e-5
# The published weights, 3 and 5, are for the scores of the published network. Here they make the CRF so sure of itself that the
# loss doubles, 0.56 instead of 0.25 without a CRF; these give the same mean IU at 0.35.
_SLIM_START = crfrnn.Kernels(spatial_weight=1.5, bilateral_weight=3)
_SLIM_LONGER: dict[str, Any] = {"solver": solvers.slim_short, "base_lr": _CRF_LR, "normalize": True}

# The published weights, as good as those of a trained network: what CRF-RNN adds is the difference to the network trained as long.
_DEEPLAB: dict[str, Any] = {
    "body": deeplab.deeplab, "start": None, "solver": solvers.deeplab, "base_lr": 5e-5, "normalize": True,
    "origin": "DeepLabv3 on MobileNetV2", "model": "voc21-deeplab",
}  # fmt: skip
_DEEPLAB_RATES = (100, 100, 10)
_DEEPLAB_START = crfrnn.Kernels(theta_alpha=30, theta_beta=4, theta_gamma=3, spatial_weight=1, bilateral_weight=3)

# The layers that score the classes.
SCORES = ("score-fr", "logits_semantic")

RECIPES: dict[str, Recipe] = {
    # FCN-32s, 16s and 8s are trained one from the other, at the rates of Long et al.; CRF-RNN then from FCN-8s.
    "fcn32s": Recipe("FCN-32s", fcn.fcn32s, None, solvers.published, 1e-10, False),
    "fcn16s": Recipe("FCN-16s", fcn.fcn16s, "fcn32s", solvers.published, 1e-12, False),
    "fcn8s": Recipe("FCN-8s", fcn.fcn8s, "fcn16s", solvers.published, 1e-14, False),
    "fcn8s-longer": Recipe("FCN-8s, trained on", fcn.fcn8s, "fcn8s", solvers.published, 1e-14, False),
    "crfrnn": Recipe("FCN-8s + CRF-RNN", fcn.fcn8s, "fcn8s", solvers.published, 1e-13, False, crf_rates=_PUBLISHED_RATES),
    "crf-only": Recipe(
        "FCN-8s + CRF-RNN, CRF learned", fcn.fcn8s, "fcn8s", solvers.published, 1e-13, False, crf_rates=_PUBLISHED_RATES,
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
    "deeplab": Recipe("DeepLabv3 on MobileNetV2", **_DEEPLAB),
    "deeplab-crfrnn": Recipe(
        "DeepLabv3 on MobileNetV2 + CRF-RNN", **_DEEPLAB, crf_rates=_DEEPLAB_RATES, crf_start=_DEEPLAB_START
    ),
    "deeplab-crf-only": Recipe(
        "DeepLabv3 on MobileNetV2 + CRF-RNN, CRF learned", **_DEEPLAB, crf_rates=_DEEPLAB_RATES, crf_start=_DEEPLAB_START,
        frozen=True
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
    return _named(n, made_by)


def train_net(made_by: Recipe, num_classes: int, options: RecipeOptions, folder: str) -> Any:
    """The network that the solver learns from the databases in `folder`."""
    n = NetSpec()
    data_and_loss.lmdb_input(n, folder)
    scores = _scores(n, made_by, num_classes, options, options.iterations)
    data_and_loss.loss(n, scores, made_by.normalize, options.robust)
    net = _named(n, made_by)
    return _frozen(net) if made_by.frozen else net


def val_net(made_by: Recipe, num_classes: int, options: RecipeOptions, folder: str) -> Any:
    """The training network on other images, with the accuracy."""
    n = NetSpec()
    data_and_loss.lmdb_input(n, folder)
    scores = _scores(n, made_by, num_classes, options, options.iterations)
    data_and_loss.accuracy(n, scores)
    data_and_loss.loss(n, scores, made_by.normalize, options.robust)
    net = _named(n, made_by)
    return _frozen(net) if made_by.frozen else net


def _scores(n: NetSpec, made_by: Recipe, num_classes: int, options: RecipeOptions, iterations: int) -> Top:
    scores = made_by.body(n, num_classes, options.width)
    if made_by.crf_rates is None:
        return scores
    return crfrnn.mean_field(n, scores, num_classes, iterations, made_by.crf_rates, made_by.crf_start, options.variant)


def _frozen(net: Any) -> Any:
    """The net learning nothing but the CRF, without the dropout that would disturb what the CRF sees."""
    for index in reversed(range(len(net.layer))):
        layer = net.layer[index]
        if layer.type == "Dropout":
            del net.layer[index]
        elif layer.name != LAYER:
            for param in layer.param:
                param.lr_mult, param.decay_mult = 0, 0
    return net


def _named(n: NetSpec, made_by: Recipe) -> Any:
    net = n.to_proto()
    net.name = made_by.title
    return net
