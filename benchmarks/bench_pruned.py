"""Times inference that leaves out classes, beside exact inference and peers: python benchmarks/bench_pruned.py [PHOTOGRAPH ...]

Milliseconds an image, T = 10, Potts, all programs in turn, the best of a few rounds, mean over the images; and the share of labels
that differ from exact inference's. Scores: of the bundled 21-class model before its CRF; and of nets with random weights, in which
every class matters somewhere, so that nothing can be left out. Peers: pydensecrf2 (one thread; see bench_mean_field.py), crfseg
(`pip install crfseg`, a spatial kernel of 11 x 11 pixels alone), and the same mean field with both kernels cut to a window of
11 x 11 pixels, as in ConvCRF (Teichmann and Cipolla 2018), in plain torch. The last two compute something else.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from bench_mean_field import Step, best
from torch import Tensor
from torch.nn import functional

import caffe
from crfasrnn.classes import MEAN_BGR
from crfasrnn.crf.functional import mean_field
from crfasrnn.export.network import unary_of
from crfasrnn.pictures.photographs import read_image
from crfasrnn.segmentation.models import find_model
from crfasrnn.segmentation.segmenter import deploy_net

ALPHA, BETA, GAMMA = 30.0, 4.0, 3.0  # the bundled model's
SPATIAL, BILATERAL = 3.0, 5.0
ITERATIONS = 10
LEVELS = (1e-4, 1e-3, 1e-2)
WINDOW = 11


def photographs(paths: list[Path]) -> list[np.ndarray]:
    """H x W x 3 uint8 BGR, at most 500 pixels wide and high."""
    images = [read_image(path) for path in paths]
    if not images:
        images = [picture()[..., ::-1] for picture in (skimage.data.cat, skimage.data.coffee, skimage.data.astronaut)]
    scaled = []
    for image in images:
        scale = min(1.0, 500 / max(image.shape[:2]))
        scaled.append(cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return scaled


def scores_of(images: list[np.ndarray]) -> list[tuple[Tensor, Tensor]]:
    """Of each image the bundled network's scores before the CRF, 1 x 21 x H x W, and the input, 1 x 3 x H x W."""
    caffe.init_log(2)
    files = find_model("voc21-deeplab")
    net = deploy_net(files)
    unary = unary_of(net)
    found = []
    for image in images:
        data = (image.astype(np.float32) - np.float32(MEAN_BGR)).transpose(2, 0, 1)[None]
        net.blobs["data"].reshape(*data.shape)
        net.reshape()
        net.blobs["data"].data[...] = data
        net.forward(end=next(name for name, tops in net.top_names.items() if unary in tops))
        found.append((torch.tensor(net.blobs[unary].data), torch.from_numpy(np.ascontiguousarray(data))))
    return found


def random_scores(image: np.ndarray, classes: int) -> tuple[Tensor, Tensor]:
    """The scores of a small convolutional net with random weights, whose last layer is enlarged eight times."""
    torch.manual_seed(0)
    data = torch.from_numpy(np.ascontiguousarray((image - np.float32(MEAN_BGR)).transpose(2, 0, 1)[None])).float()
    layers = [torch.nn.Conv2d(a, b, 3, 2, 1) for a, b in ((3, 16), (16, 32), (32, 64))]
    last = torch.nn.Conv2d(64, classes, 1)
    with torch.no_grad():
        rows = data / 60
        for layer in layers:
            rows = functional.relu(layer(rows)) * 2
        rows = last(rows)
        rows = 3 * (rows - rows.mean((2, 3), keepdim=True)) / rows.std()
        return functional.interpolate(rows, data.shape[2:], mode="bilinear").contiguous(), data


def ours(unary: Tensor, image: Tensor, threads: int, min_probability: float) -> Tensor:
    torch.set_num_threads(threads)
    eye = torch.eye(unary.shape[1])
    return mean_field(unary, unary, image, SPATIAL * eye, BILATERAL * eye, -eye, iterations=ITERATIONS, theta_alpha=ALPHA,
                      theta_beta=BETA, theta_gamma=GAMMA, min_probability=min_probability)  # fmt: skip


def pydensecrf(unary: Tensor, image: Tensor) -> None:
    from pydensecrf import densecrf

    _, classes, height, width = unary.shape
    crf = densecrf.DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(-unary[0].reshape(classes, -1).numpy()))
    crf.addPairwiseGaussian(sxy=GAMMA, compat=SPATIAL)
    picture = (image[0].permute(1, 2, 0).numpy() + np.float32(MEAN_BGR)).round().astype(np.uint8)
    crf.addPairwiseBilateral(sxy=ALPHA, srgb=BETA, rgbim=np.ascontiguousarray(picture), compat=BILATERAL)
    np.array(crf.inference(ITERATIONS))


def crfseg(unary: Tensor, image: Tensor) -> None:
    from crfseg import CRF

    torch.set_num_threads(2)
    with torch.no_grad():
        CRF(2, WINDOW, ITERATIONS, smoothness_weight=SPATIAL, smoothness_theta=GAMMA)(unary)


def windowed(unary: Tensor, image: Tensor) -> None:
    """Mean field whose kernels end at the window's border, shift by shift; two threads."""
    torch.set_num_threads(2)
    reach = WINDOW // 2
    shifts = [(y, x) for y in range(-reach, reach + 1) for x in range(-reach, reach + 1) if (y, x) != (0, 0)]

    def moved(planes: Tensor, y: int, x: int) -> Tensor:
        padded = functional.pad(planes, (reach, reach, reach, reach))
        return padded[..., reach + y : reach + y + planes.shape[2], reach + x : reach + x + planes.shape[3]]

    kernels = []
    for y, x in shifts:
        apart = float(y * y + x * x)
        alike = ((moved(image, y, x) - image) / BETA).square().sum(1, keepdim=True)
        near = float(np.exp(-apart / (2 * GAMMA**2)))
        kernels.append(SPATIAL * near + BILATERAL * torch.exp(-apart / (2 * ALPHA**2) - alike / 2))
    total = torch.stack(kernels).sum(0)
    scores = unary
    for _ in range(ITERATIONS):
        q = scores.softmax(1)
        message = torch.zeros_like(q)
        for (y, x), kernel in zip(shifts, kernels):
            message.addcmul_(kernel, moved(q, y, x))
        scores = unary + (SPATIAL + BILATERAL) * message / total


def is_installed(peer: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(peer) is not None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", nargs="*", type=Path, help="real pictures (three of scikit-image's)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the best counts (5)")
    options = parser.parse_args()
    images = photographs(options.photographs)
    cases = {"bundled model's, 21 classes": scores_of(images)}
    cases |= {f"random net's, {classes} classes": [random_scores(images[0], classes)] for classes in (21, 59, 150)}
    peers = {name: step for name, step in (("pydensecrf", pydensecrf), ("crfseg", crfseg)) if is_installed(name)}
    peers["windowed"] = windowed
    print(
        "| scores | how | 1 thread (ms) | 2 threads (ms) | against pydensecrf2, 1 and 2 threads | labels changed (%) |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for what, samples in cases.items():
        times: dict[str, list[float]] = {}
        changed = dict.fromkeys(LEVELS, 0)
        for unary, image in samples:
            steps: dict[str, Step] = {
                f"{level} {threads}": lambda u=unary, i=image, n=threads, e=level: ours(u, i, n, e)
                for level in (0.0, *LEVELS)
                for threads in (1, 2)
            }
            steps |= {name: lambda u=unary, i=image, s=step: s(u, i) for name, step in peers.items()}
            for name, time in best(steps, options.rounds, patience=1000).items():
                times.setdefault(name, []).append(time)
            exact = ours(unary, image, 2, 0.0).argmax(1)
            for level in LEVELS:
                changed[level] += int((ours(unary, image, 2, level).argmax(1) != exact).sum())
        mean = {name: float(np.mean(values)) for name, values in times.items()}
        pixels = sum(unary[0, 0].numel() for unary, _ in samples)
        for level in (0.0, *LEVELS):
            one, two = mean[f"{level} 1"], mean[f"{level} 2"]
            ahead = [f"{mean['pydensecrf'] / time:.1f}x" for time in (one, two) if "pydensecrf" in mean]
            share = f"{100 * changed[level] / pixels:.4f}" if level else ""
            name = f"min_probability {level:g}" if level else "exact"
            print(f"| {what} | {name} | {one:.0f} | {two:.0f} | {', '.join(ahead)} | {share} |", flush=True)
        for name in peers:
            columns = ("", f"{mean[name]:.0f}") if name != "pydensecrf" else (f"{mean[name]:.0f}", "")
            print(f"| {what} | {name} | {columns[0]} | {columns[1]} | | |", flush=True)


if __name__ == "__main__":
    main()
