"""Losses that segmentation nets with a CRF are trained with, beyond torch's cross entropy."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from caffe.inputs.arguments import integer, number
from crfasrnn.classes import VOID
from crfasrnn.crf.checks import check_is_tensor


def robust_log_likelihood(
    scores: Tensor,
    labels: Tensor,
    robustness: float = 0.01,
    ignore_label: int | None = VOID,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood made robust against wrong labels: - log(softmax(scores)[label] + robustness).

    After P. Krahenbuhl and V. Koltun, "Parameter Learning and Convergent Inference for Dense Random Fields", ICML 2013, who
    maximise the mean over the variables of log(Q(label) + robustness) of a CRF's marginals Q. With p the label's probability
    the gradient to the scores is p / (p + robustness) times that of cross entropy: a label that the model thinks nearly
    impossible costs at most - log(robustness) and pulls at nothing. robustness 0 is cross entropy.

    Args:
        scores: (N, C, ...), before softmax, of any floating dtype; float16 and bfloat16 are computed in float32.
        labels: (N, ...), integers 0 .. C-1 or ignore_label.
        robustness: at least 0, to be compared with probabilities.
        ignore_label: of positions that do not count; None if there are none.
        reduction: "mean" over the positions that count (0 if none does), "sum", or "none": (N, ...), 0 where ignored.

    Raises:
        ValueError: a shape, label, robustness or reduction is not as above.

    >>> import torch
    >>> from crfasrnn.crf import robust_log_likelihood
    >>> scores, labels = torch.tensor([[9.0, -9.0], [9.0, -9.0]]), torch.tensor([0, 1])  # sure, and wrong once
    >>> round(float(torch.nn.functional.cross_entropy(scores, labels)), 2)
    9.0
    >>> round(float(robust_log_likelihood(scores, labels, robustness=0.01)), 2)
    2.3
    """
    robustness = number("robustness", robustness)
    if not (math.isfinite(robustness) and robustness >= 0):
        raise ValueError(f"robustness must be a number of at least 0, got {robustness}")
    scores, index, counts = _checked(scores, labels, ignore_label, reduction)
    picked = scores.log_softmax(1).gather(1, index.masked_fill(~counts, 0).unsqueeze(1)).squeeze(1)
    if robustness > 0:
        picked = torch.logaddexp(picked, picked.new_tensor(math.log(robustness)))
    terms = -picked.masked_fill(~counts, 0)
    if reduction == "none":
        return terms
    return terms.sum() / counts.sum().clamp(min=1) if reduction == "mean" else terms.sum()


def lovasz_softmax(scores: Tensor, labels: Tensor, ignore_label: int | None = VOID, reduction: str = "mean") -> Tensor:
    """A loss that follows mean IU: the Lovász extension of 1 - IU at softmax(scores), the mean over the classes that are true.

    After M. Berman, A. Rannen Triki and M. B. Blaschko, "The Lovász-Softmax Loss", CVPR 2018. Where softmax(scores) is 0 or 1
    everywhere, a class's part is 1 - IU of its labels; between, it is the extension of that to all probabilities that is convex
    in their errors. Every image counts by itself, so that a small object's class weighs as much as the background's.

    Args:
        scores: (N, C, ...), before softmax, of any floating dtype; float16 and bfloat16 are computed in float32.
        labels: (N, ...), integers 0 .. C-1 or ignore_label.
        ignore_label: of positions that do not count; None if there are none.
        reduction: "mean" over the images, "sum" of them, or "none": (N,). Without a position that counts an image gives 0.

    Raises:
        ValueError: a shape, label or reduction is not as above.

    >>> import torch
    >>> from crfasrnn.crf import lovasz_softmax
    >>> sure = 99 * torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])  # classes 0, 0, 1
    >>> lovasz_softmax(sure, torch.tensor([[0, 1, 1]]))  # each class has an IU of 1 / 2
    tensor(0.5000)
    """
    scores, index, counts = _checked(scores, labels, ignore_label, reduction)
    shape = (len(scores), -1) if scores.numel() else (len(scores), 0)
    probabilities = scores.softmax(1).reshape(*scores.shape[:2], shape[1])
    rows = zip(probabilities, index.reshape(shape), counts.reshape(shape))
    each = [_lovasz_of_image(image[:, counted], truth[counted]) for image, truth, counted in rows]
    terms = torch.stack(each) if each else scores.new_zeros(0)
    if reduction == "none":
        return terms
    return terms.mean() if reduction == "mean" and len(each) else terms.sum()


def _lovasz_of_image(probabilities: Tensor, truth: Tensor) -> Tensor:
    """The loss of C x P probabilities and P true classes; 0 without a position."""
    parts = []
    for label in truth.unique().tolist():
        true = truth == label
        errors = torch.where(true, 1 - probabilities[label], probabilities[label])
        errors, order = errors.sort(descending=True)
        # IU of the class if the positions with the largest errors, 1, 2, ... of them, are wrong and all others right.
        hits = true[order].to(errors.dtype)
        missed, count = hits.cumsum(0), hits.sum()
        iu = (count - missed) / (count + torch.arange(1, len(hits) + 1, device=hits.device) - missed)
        parts.append((errors * -torch.diff(iu, prepend=iu.new_ones(1))).sum())
    return torch.stack(parts).mean() if parts else probabilities.sum()


def _checked(scores: Tensor, labels: Tensor, ignore_label: int | None, reduction: str) -> tuple[Tensor, Tensor, Tensor]:
    """The scores in float32 at least, the labels as int64, and which of them count."""
    ignore_label = None if ignore_label is None else integer("ignore_label", ignore_label, -(2**63), 2**63 - 1)
    check_is_tensor("scores", scores)
    check_is_tensor("labels", labels)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction is mean, sum or none, not {reduction!r}")
    if scores.dim() < 2 or labels.shape != (*scores.shape[:1], *scores.shape[2:]):
        raise ValueError(
            f"scores (N, C, ...) need labels (N, ...): they are {tuple(scores.shape)} and {tuple(labels.shape)}"
        )
    if labels.device != scores.device:
        raise ValueError(f"labels are on {labels.device} but scores on {scores.device}: use labels.to(scores.device)")
    index = labels.long()
    counts = torch.ones_like(index, dtype=torch.bool) if ignore_label is None else index != ignore_label
    bad = counts & ((index < 0) | (index >= scores.shape[1]))
    if bad.any():
        at = tuple(bad.nonzero()[0].tolist())
        raise ValueError(f"label {int(index[at])} at {at} is none of 0 to {scores.shape[1] - 1}")
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    return scores, index, counts


class RobustLogLikelihoodLoss(nn.Module):
    """robust_log_likelihood as a module; the arguments are its.

    >>> import torch
    >>> from crfasrnn.crf import RobustLogLikelihoodLoss
    >>> loss = RobustLogLikelihoodLoss(ignore_label=255)
    >>> loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]))
    tensor(0.6733)
    """

    def __init__(self, robustness: float = 0.01, ignore_label: int | None = VOID, reduction: str = "mean") -> None:
        super().__init__()
        self.robustness, self.ignore_label, self.reduction = robustness, ignore_label, reduction

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss of scores (N, C, ...) and labels (N, ...)."""
        return robust_log_likelihood(scores, labels, self.robustness, self.ignore_label, self.reduction)


class LovaszSoftmaxLoss(nn.Module):
    """lovasz_softmax as a module; the arguments are its.

    >>> import torch
    >>> from crfasrnn.crf import LovaszSoftmaxLoss
    >>> loss = LovaszSoftmaxLoss(ignore_label=255)
    >>> loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]]))
    tensor(0.5000)
    """

    def __init__(self, ignore_label: int | None = VOID, reduction: str = "mean") -> None:
        super().__init__()
        self.ignore_label, self.reduction = ignore_label, reduction

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The loss of scores (N, C, ...) and labels (N, ...)."""
        return lovasz_softmax(scores, labels, self.ignore_label, self.reduction)
