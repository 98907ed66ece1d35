#!/usr/bin/env python3
"""Draw what each number of a dense CRF does, for docs/howto/parameters.md: python docs/pictures/parameters.py [--output FOLDER]

The photograph is scikit-image's `astronaut` (NASA, public domain); the probabilities are those of the bundled model's network
without its last layer. A row changes one number of the command's defaults and leaves the others as they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.data

from caffe.files import make_folder
from crfasrnn.pictures.photographs import write_image
from crfasrnn.postprocessing.settings import CrfSettings
from crfasrnn.segmentation.models import DEFAULT, find_model, resource_folder
from crfasrnn.segmentation.segmenter import Segmenter
from crfasrnn.utils import unary_from_softmax

SHOWN = (slice(0, 400), slice(0, 512))  # rows and columns of the photograph: its rest repeats what is seen there
PANEL_WIDTH, TITLE_HEIGHT, GAP = 232, 22, 6
BACKGROUND, PERSON = 0, 15  # of VOC's classes
NETWORK = ("the network alone", CrfSettings(iterations=0))

# Pictures by the number that changes: titles and settings of the panels, from left to right.
ROWS: dict[str, list[tuple[str, CrfSettings]]] = {
    "theta-alpha": [(f"{value} pixels", CrfSettings(bilateral=(value, 13, 10))) for value in (3, 20, 80, 300)],
    "theta-beta": [(f"{value} grey levels", CrfSettings(bilateral=(80, value, 10))) for value in (2, 13, 40, 120)],
    "theta-gamma": [
        (f"{value} pixel{'s' * (value > 1)}", CrfSettings(spatial=(value, 3), bilateral=(80, 13, 0)))
        for value in (1, 3, 10, 40)
    ],
    "bilateral-weight": [(f"weight {value}", CrfSettings(bilateral=(80, 13, value))) for value in (1, 3, 10, 60)],
    "spatial-weight": [(f"weight {value}", CrfSettings(spatial=(3, value))) for value in (0, 3, 10, 60)],
    "iterations": [(f"{count} iteration{'s' * (count > 1)}", CrfSettings(iterations=count)) for count in (1, 2, 5, 10)],
}


def cut_out(photograph: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The photograph with what is PERSON as it is, the background pale and grey, and everything else magenta; BGR."""
    grey = cv2.cvtColor(cv2.cvtColor(photograph, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    pale = cv2.addWeighted(grey, 0.3, np.full_like(grey, 255), 0.7, 0)
    wrong = cv2.addWeighted(grey, 0.4, np.full_like(grey, (200, 0, 200)), 0.6, 0)
    picture: np.ndarray = np.where((labels == PERSON)[..., None], photograph, wrong)
    return np.where((labels == BACKGROUND)[..., None], pale, picture)


@dataclass(frozen=True, eq=False)
class Start:
    """What the CRF starts from: an H x W x 3 uint8 BGR photograph and C x H x W probabilities."""

    photograph: np.ndarray
    probabilities: np.ndarray

    def panel(self, title: str, settings: CrfSettings) -> np.ndarray:
        """The photograph with the labels that the settings make, PANEL_WIDTH pixels wide, below its title; BGR."""
        labels = settings.labels(self.photograph, unary_from_softmax(self.probabilities))
        picture = cut_out(self.photograph, labels)[SHOWN]
        height = round(picture.shape[0] * PANEL_WIDTH / picture.shape[1])
        line = np.full((TITLE_HEIGHT, PANEL_WIDTH, 3), 255, np.uint8)
        cv2.putText(line, title, (2, TITLE_HEIGHT - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (32, 32, 32), 1, cv2.LINE_AA)
        return np.vstack([line, cv2.resize(picture, (PANEL_WIDTH, height), interpolation=cv2.INTER_AREA)])


def astronaut() -> Start:
    """The photograph, and what the bundled model's network says of it before its CRF."""
    photograph = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    model = find_model(DEFAULT)
    network = Segmenter(resource_folder("prototxt") / "deeplab" / "deeplab_deploy.prototxt", model.weights, model.size)
    probabilities = network.segment(photograph, probabilities=True).probabilities
    assert probabilities is not None
    return Start(photograph, probabilities)


def row(panels: Sequence[np.ndarray]) -> np.ndarray:
    """Panels side by side on white."""
    return np.hstack([np.pad(panel, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for panel in panels])


def draw(start: Start, folder: Path) -> list[Path]:
    """Write network.jpg and a picture for each of ROWS; returns their paths."""
    make_folder(folder)
    paths = []
    for name, panels in {"network": [NETWORK, ("the defaults", CrfSettings())], **ROWS}.items():
        paths.append(folder / f"{name}.jpg")
        write_image(paths[-1], row([start.panel(*panel) for panel in panels]))
    return paths


def main() -> None:
    """Draw all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "parameters")
    for path in draw(astronaut(), parser.parse_args().output):
        print(path)


if __name__ == "__main__":
    main()
