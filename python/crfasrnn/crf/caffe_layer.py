"""MultiStageMeanfield, the paper's CRF-RNN, as a layer of caffe nets (found through the entry-point group "caffe.layers")."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from google.protobuf import text_format

from caffe.errors import CaffeError
from caffe.inputs.limits import MAX_ITERATIONS
from caffe.layers.base import Shape, TorchLayer
from caffe.proto import caffe_pb2
from crfasrnn.crf import dialects, options
from crfasrnn.crf.functional import Kernel, mean_field_kernels

_PAR_FILE_LIMIT = 1 << 20


class MultiStageMeanfieldLayer(TorchLayer):
    """Mean-field inference of a fully connected CRF, unrolled num_iterations times (Zheng et al. 2015, section 4).

    Bottoms: unary (N x C x H x W, scores before softmax), Q0 (N x C x H x W, scores whose softmax starts the first iteration),
    image (N x K x H x W, the colours that the bilateral kernel compares). Top: refined scores (N x C x H x W), not soft-maxed.
    Parameters, each 1 x 1 x C x C: spatial kernel weights, bilateral kernel weights, compatibility (starts as minus identity, the
    Potts model). Gradients go to unary, Q0 and the parameters; the image gets none.

    Options (multi_stage_meanfield_param, or the same fields as text in python_param.param_str): num_iterations (1); theta_alpha
    and theta_gamma in pixels, theta_beta in units of the image (10 each); the diagonals that the kernel weights start from, as
    one number per class in spatial_filter_weights_str / bilateral_filter_weights_str or as one number for all classes in
    spatial_filter_weight / bilateral_filter_weight (1); without either, from the files spatial.par / bilateral.par beside the
    prototxt, where there are such (one number per class, as the fork of 2015 had it). compatibility_mode POTTS is the only
    one; threshold and force_cpu are read and have no effect, as in the original.

    Variants that the original does not have: kernel_weights PER_CLASS or SHARED (the kernels' weights count by their diagonal, or
    by its mean, alone), symmetric_compatibility, activation RELU (Q = max(0, scores), section 6), untied (every iteration has
    parameters of its own, section 7.1: the blobs are num_iterations x 1 x C x C), bilateral (repeated: one more bilateral kernel
    with its theta_alpha, theta_beta and starting weight, section 4.2; each has a blob of weights, after the compatibility),
    learn_bandwidths (a last blob with the natural logarithms of theta_alpha, theta_beta and theta_gamma, then theta_alpha and
    theta_beta of each further kernel; several times slower). A Potts model that is not learned needs no option: give the
    compatibility lr_mult 0.

    min_probability is for programs to set on the layer of a net: where nothing runs backward, classes are left out whose
    probability is below it, see crfasrnn.crf.mean_field.
    """

    type = "MultiStageMeanfield"
    keeps_coordinates = True
    exact_bottoms = 3
    exact_tops = 1
    min_probability = 0.0
    # The options' message lies beside this module: multi_stage_meanfield.proto.
    upgrade = staticmethod(dialects.upgrade)

    def build(self, bottom: Sequence[Shape]) -> None:
        self._options = self._read_options()
        if not 1 <= self._options.num_iterations <= MAX_ITERATIONS:
            raise CaffeError(
                f"layer '{self.name}': num_iterations must be at least 1 and at most {MAX_ITERATIONS}, not "
                f"{self._options.num_iterations}."
            )
        for field, value in self._thetas().items():
            if not options.are_thetas([value]):
                raise CaffeError(f"layer '{self.name}': {field} must be a positive number, not {value}.")
        if len(bottom[0]) != 4:
            raise CaffeError(f"layer '{self.name}': {self._blob(0)} must be N x C x H x W, not {bottom[0]}.")
        classes = bottom[0][1]
        starts = [torch.tensor(self._diagonal(kernel, classes)) for kernel in ("spatial", "bilateral")]
        shape = (self._options.num_iterations if self._options.untied else 1, 1, classes, classes)
        further = [torch.full([classes], kernel.weight) for kernel in self._options.bilateral]
        for diagonal in (*starts, -torch.ones(classes), *further):
            self.blobs.add_blob(*shape).tensor = torch.diag(diagonal).repeat(*shape[:2], 1, 1)
        if self._options.learn_bandwidths:
            thetas = torch.tensor(list(self._thetas().values()))
            self.blobs.add_blob(len(thetas)).tensor = thetas.log()

    def _thetas(self) -> dict[str, float]:
        """All standard deviations by the names of their fields, in the order in which the last blob has them."""
        found = {field: getattr(self._options, field) for field in ("theta_alpha", "theta_beta", "theta_gamma")}
        for k, kernel in enumerate(self._options.bilateral):
            found |= {
                f"bilateral[{k}].theta_alpha": kernel.theta_alpha,
                f"bilateral[{k}].theta_beta": kernel.theta_beta,
            }
        return found

    def _read_options(self) -> caffe_pb2.MultiStageMeanfieldParameter:
        text = self.layer_param.python_param.param_str
        if self.layer_param.HasField("multi_stage_meanfield_param") or not text:
            return self.layer_param.multi_stage_meanfield_param
        try:
            return text_format.Parse(text, caffe_pb2.MultiStageMeanfieldParameter())
        except text_format.ParseError as error:
            raise CaffeError(
                f"layer '{self.name}': python_param.param_str is not a MultiStageMeanfieldParameter: {error}"
            ) from None

    def _diagonal(self, kernel: str, classes: int) -> list[float]:
        text = getattr(self._options, f"{kernel}_filter_weights_str")
        field = f"layer '{self.name}': {kernel}_filter_weights_str"
        beside = self.folder / f"{kernel}.par" if self.folder else None
        if not text and not self._options.HasField(f"{kernel}_filter_weight") and beside and beside.is_file():
            field = f"layer '{self.name}': {beside}"
            with open(beside, encoding="ascii", errors="replace") as file:
                text = file.read(_PAR_FILE_LIMIT)
        if not text:
            return [getattr(self._options, f"{kernel}_filter_weight")] * classes
        try:
            weights = [float(word) for word in text.split()]
        except ValueError as error:
            raise CaffeError(f"{field}: {error}") from None
        if len(weights) != classes:
            raise CaffeError(
                f"{field} has {len(weights)} numbers, but the unary has {classes} classes; give one number per class."
            )
        return weights

    def _blob(self, index: int) -> str:
        return f"bottom '{self.layer_param.bottom[index]}'"

    def top_shapes(self, bottom: Sequence[Shape]) -> Sequence[Shape]:
        unary, q0, image = bottom
        if q0 != unary:
            raise CaffeError(
                f"layer '{self.name}': {self._blob(1)} has shape {q0}, the unary {self._blob(0)} {unary}; they must agree."
            )
        if len(image) != 4 or image[0] != unary[0] or image[2:] != unary[2:]:
            raise CaffeError(
                f"layer '{self.name}': image {self._blob(2)} has shape {image}, but the unary {self._blob(0)} has {unary}: "
                "number, height and width must agree. Crop or resize one to the other."
            )
        if unary[1] != self.blobs[0].shape[-1]:
            raise CaffeError(
                f"layer '{self.name}': the unary {self._blob(0)} has {unary[1]} classes, the parameters {self.blobs[0].shape[-1]}."
            )
        return [unary]

    def compute(self, bottom: Sequence[torch.Tensor], params: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        unary, q0, image = bottom
        stated = self._options
        matrices = params[:-1] if stated.learn_bandwidths else params
        spatial, bilateral, compatibility, *further = (blob[:, 0] if stated.untied else blob[0, 0] for blob in matrices)
        weights = [self._counting(matrix) for matrix in (spatial, bilateral, *further)]
        kind = "symmetric" if stated.symmetric_compatibility else "full"
        alpha, beta, gamma, *others = params[-1].exp() if stated.learn_bandwidths else self._thetas().values()
        # The original has no gradient of the image, and nets ask for one when they force backward.
        pairs = [(alpha, beta), *zip(others[::2], others[1::2])]
        kernels = [Kernel(gamma), *(Kernel(position, image.detach(), colour) for position, colour in pairs)]
        scores = mean_field_kernels(
            unary,
            q0,
            kernels,
            weights,
            options.compatibility_matrix(compatibility, kind),
            iterations=stated.num_iterations,
            activation=options.from_prototxt(stated.Activation.Name(stated.activation)),
            min_probability=self.min_probability,
        )
        return [scores]

    def _counting(self, weights: torch.Tensor) -> torch.Tensor:
        """Weights ((T,) C, C) of a kernel with what the option kernel_weights leaves of them."""
        kind = options.from_prototxt(self._options.KernelWeights.Name(self._options.kernel_weights))
        return options.kernel_matrix(options.kernel_parameters(weights, kind), kind, weights.shape[-1])

    def allow_force_backward(self, bottom_index: int) -> bool:
        return bottom_index != 2
