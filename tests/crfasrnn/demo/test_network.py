"""A model taken apart gives what the whole gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.crfasrnn.models import CAT, PERSON, save_net, scores, with_crf

from caffe.errors import CaffeError
from caffe.net_spec import NetSpec, Top
from caffe.net_spec import layers as L
from crfasrnn import Segmenter
from crfasrnn.demo.answers import answer
from crfasrnn.demo.fields import Deadline
from crfasrnn.demo.network import Network
from crfasrnn.segmentation.models import find_model, model_names, resource_folder


@pytest.mark.parametrize("name", model_names())
def test_network_and_crf_are_the_bundled_model(name: str) -> None:
    network, whole = Network(name), Segmenter(name)
    for image in (CAT, PERSON):
        found = answer(network.field(image), network.controls, Deadline(60))
        np.testing.assert_array_equal(found.after, whole.segment(image).labels)
    assert network.classes == whole.classes


def test_the_network_alone_is_the_one_without_the_layer() -> None:
    model = find_model("voc21-deeplab")
    alone = Segmenter(
        resource_folder("prototxt") / "deeplab" / "deeplab_deploy.prototxt", model.weights, size=model.size
    )
    field = Network("voc21-deeplab").field(PERSON)
    np.testing.assert_array_equal(field.unary[0].numpy(), alone.scores(PERSON))
    assert field.seconds > 0


def test_a_net_of_ones_own_without_splits(tmp_path: Path) -> None:
    files = save_net(tmp_path, with_crf)
    network = Network(str(files[0]), files[1])
    found = answer(network.field(CAT), network.controls, Deadline(60))
    np.testing.assert_array_equal(found.after, Segmenter(*files).segment(CAT).labels)


def test_a_net_without_a_crf_gets_the_papers(tmp_path: Path) -> None:
    files = save_net(tmp_path, scores)
    network = Network(str(files[0]), files[1])
    assert (network.controls.theta_alpha, network.controls.theta_beta, network.controls.theta_gamma) == (160, 3, 3)
    found = answer(network.field(CAT), replace(network.controls, iterations=2), Deadline(60))
    np.testing.assert_array_equal(found.before, Segmenter(*files).segment(CAT).labels)


def test_variants_are_refused(tmp_path: Path) -> None:
    files = save_net(tmp_path, with_crf)
    told = (
        files[0].read_text().replace("multi_stage_meanfield_param {", "multi_stage_meanfield_param { untied: true", 1)
    )
    assert "untied" in told
    files[0].write_text(told)
    with pytest.raises(CaffeError, match="the page has the controls of the paper's CRF"):
        Network(str(files[0]), files[1])


def test_what_follows_the_crf_is_refused(tmp_path: Path) -> None:
    def more(n: NetSpec) -> Top:
        n.probabilities = L.Softmax(with_crf(n))
        return n.probabilities

    files = save_net(tmp_path, more)
    with pytest.raises(CaffeError, match="last layer is its CRF"):
        Network(str(files[0]), files[1])
