"""Both ends of a network: where the images come from and what is done with the scores."""

from __future__ import annotations

from caffe.errors import CaffeError
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from caffe.net_spec import params as P
from crfasrnn.classes import MEAN_BGR, VOID
from crfasrnn.datasets.databases import IMAGES, LABELS


def deploy_input(n: NetSpec, height: int = 500, width: int = 500) -> Top:
    """The image, 1 x 3 x H x W, BGR minus the mean. H and W are only where it starts: reshape `data` to any size."""
    n.data = L.Input(shape={"dim": [1, 3, height, width]})
    return n.data


def lmdb_input(n: NetSpec, folder: str) -> Top:
    """Photographs and label maps from the two databases that `crfasrnn data lmdb` writes into `folder`, one per batch.

    One, because the images differ in size.
    """
    n.data = L.Data(
        source=f"{folder}/{IMAGES}",
        backend=P.Data.LMDB,
        batch_size=1,
        transform_param={"mean_value": list(MEAN_BGR)},
    )
    n.label = L.Data(source=f"{folder}/{LABELS}", backend=P.Data.LMDB, batch_size=1)
    return n.data


def loss(n: NetSpec, scores: Top, normalize: bool, kind: str = "softmax") -> None:
    """A loss over all pixels but the ignored ones, summed (the papers' choice) or averaged over the pixels, blob `loss`.

    kind: one of crfasrnn.crf.options.LOSSES: the soft-max loss, the robust log-likelihood of Krähenbühl and Koltun (2013), the
    Lovász-softmax of Berman et al. (2018), which is an average always, or the first and the last of these together (`lovasz_loss`).
    Raises CaffeError for a Lovász loss where the other is a sum.
    """
    if "lovasz" in kind and not normalize:
        raise CaffeError(
            f"the loss is summed over the pixels, beside which {kind!r}, a mean, moves nothing: take a recipe that averages "
            "(slim, deeplab)"
        )
    layers = {"softmax": L.SoftmaxWithLoss, "robust": L.RobustLogLikelihoodLoss, "lovasz": L.LovaszSoftmaxLoss}
    first, *second = kind.split("+")
    n.loss = layers[first](scores, n.label, loss_param={"ignore_label": VOID, "normalize": normalize})
    if second:
        n.lovasz_loss = layers[second[0]](scores, n.label, loss_param={"ignore_label": VOID}, loss_weight=1)


def accuracy(n: NetSpec, scores: Top) -> None:
    """Fraction of the pixels labelled correctly, for the validation net."""
    n.accuracy = L.Accuracy(scores, n.label, ignore_label=VOID)
