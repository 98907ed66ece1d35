"""The page in a real browser: what visitors do, and what they are told."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from support.browser import browser, eventually, requested
from support.crfasrnn.models import CAT, PERSON
from support.demo import Page, demo, opened

from crfasrnn import Segmenter
from crfasrnn.pictures.label_maps import read_labels, write_labels
from crfasrnn.pictures.photographs import read_image, write_image


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """A photograph."""
    path = tmp_path / "a person.png"
    write_image(path, PERSON)
    return path


@pytest.fixture(scope="module")
def shared(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser for the tests of one visitor."""
    with browser(tmp_path_factory.mktemp("downloads")) as driver:
        yield driver


def drag(driver: Any, element: Any, *points: tuple[float, float]) -> None:
    """Press at the first point, go over the others, release; in parts of the element's width and height."""
    from selenium.webdriver.common.action_chains import ActionChains

    width, height = element.size["width"], element.size["height"]
    steps = [(int((x - 0.5) * width), int((y - 0.5) * height)) for x, y in points]
    chain = ActionChains(driver, duration=30)
    chain.move_to_element_with_offset(element, *steps[0]).click_and_hold()
    for step in steps[1:]:
        chain.move_to_element_with_offset(element, *step)
    chain.release().perform()


def test_an_upload_is_answered_as_the_segmenter_answers(address: str, shared: Any, person: Path) -> None:
    page = opened(shared, address)
    page.answer(person)
    result = Segmenter().segment(PERSON)
    found = page.shares()
    for label in result.present():
        share = 100 * np.mean(result.labels == label)
        assert found[result.classes.names[label]].endswith(f"→ {share:.1f} %")
    facts = page.facts()
    assert facts["iterations"] == "10"
    assert {"network", "CRF"} <= facts.keys()
    assert facts["computed at"] == "200 × 150"


def test_nothing_is_asked_of_other_machines(address: str, shared: Any, person: Path) -> None:
    requested(shared)
    page = opened(shared, address)
    page.answer(person)
    opened(shared, address, "own")
    hosts = {urlsplit(url).hostname for url in requested(shared)}
    assert hosts == {"127.0.0.1"}
    # Nothing was refused or missing; what Gradio itself says to the console when a page is left is no matter.
    assert [entry for entry in shared.get_log("browser") if entry["source"] != "console-api"] == []


def test_the_slider_moves_the_cut(address: str, shared: Any) -> None:
    page = opened(shared, address)
    cut, stage = page.element("#crf-viewer-segment .crf-cut"), page.in_view("#crf-viewer-segment .crf-stage")
    assert cut.get_attribute("aria-valuenow") == "50"
    drag(shared, stage, (0.5, 0.4), (0.7, 0.4), (0.8, 0.5))
    assert cut.get_attribute("aria-valuenow") == "80"
    cut.send_keys("\ue012")  # arrow to the left
    assert cut.get_attribute("aria-valuenow") == "78"
    before = page.element("#crf-viewer-segment canvas.crf-before")
    assert re.match(r"inset\(0px 2[12]\.?\d*% 0px 0px\)", before.value_of_css_property("clip-path"))


def test_the_legend_lights_up_its_class(address: str, shared: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page = opened(shared, address)
    assert {"motorbike", "background"} <= page.shares().keys()
    plain = page.colours("after")
    button = page.in_view("#crf-viewer-segment .crf-legend button")
    ActionChains(shared).move_to_element(button).perform()
    assert eventually(lambda: page.colours("after") != plain)
    ActionChains(shared).move_to_element(page.element("h1")).perform()
    assert eventually(lambda: page.colours("after") == plain)
    ActionChains(shared).move_to_element(page.in_view("#crf-viewer-segment .crf-stage")).perform()
    assert eventually(lambda: page.element("#crf-viewer-segment .crf-tip").text) in page.shares()


def test_a_control_recomputes_the_crf_alone(address: str, shared: Any) -> None:
    page = opened(shared, address)
    number = page.in_view("#crf-iterations input[type=number]")
    first = page.facts()
    number.clear()
    number.send_keys("1\t")
    found = eventually(lambda: page.facts() if page.facts()["iterations"] == "1" else {})
    assert found["network"] == first["network"]  # it is the time of the same run
    page.in_view("#crf-reset").click()
    eventually(lambda: page.facts()["iterations"] == "10")


def test_downloads_hold_what_the_commands_write(
    visitor: Callable[[], Any], address: str, person: Path, tmp_path: Path
) -> None:
    page = opened(visitor(), address)
    page.answer(person)
    written = [tmp_path / f"a person_{end}" for end in ("labels.png", "overlay.png", "probabilities.npy")]
    for what, path in zip(("Labels", "Overlay", "Probabilities"), written):
        page.in_view(f"#crf-viewer-segment [data-what={what}]").click()
        eventually(path.exists)
    written[0].unlink()
    page.in_view("#crf-viewer-segment [data-what=Labels]").click()
    eventually(written[0].exists)
    result = Segmenter().segment(PERSON, probabilities=True)
    np.testing.assert_array_equal(read_labels(written[0]), result.labels)
    assert read_image(written[1]).shape[0] > result.labels.shape[0]  # a legend below
    np.testing.assert_allclose(np.load(written[2]), result.probabilities, atol=2e-3)


def test_exif_is_obeyed(address: str, shared: Any, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.fromarray(PERSON[..., ::-1]).save(tmp_path / "turned.jpg", exif=exif)
    page = opened(shared, address)
    page.answer(tmp_path / "turned.jpg")
    assert eventually(lambda: page.facts()["computed at"]) == "150 × 200"


def bomb(path: Path) -> Path:
    """A PNG of 50,000 x 50,000 pixels in a few bytes."""
    write_image(path, np.zeros((2, 2, 3), np.uint8))
    data = bytearray(path.read_bytes())
    data[16:24] = (50000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("note.png", b"Dear all, this is no picture.", "Cannot read image 'note.png': it is not an image"),
        ("empty.jpg", b"", "Cannot read image 'empty.jpg': the file is empty"),
        ("half.png", None, "Cannot read image 'half.png': it is damaged"),
        ("bomb.png", None, "Cannot read image 'bomb.png': it is too large"),
    ],
)
def test_what_is_no_photograph_gets_one_sentence(
    address: str, shared: Any, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    path = tmp_path / name
    if name == "bomb.png":
        bomb(path)
    elif content is None:
        write_image(path, CAT)
        path.write_bytes(path.read_bytes()[:2000])
    else:
        path.write_bytes(content)
    page = opened(shared, address)
    page.upload(path)
    told = page.complaint()
    assert sentence in told
    assert "/" not in told  # no folder of the server's
    assert "\n" not in told


def test_a_file_too_large_is_refused_in_a_sentence(address: str, shared: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.truncate(40 << 20)
    page = opened(shared, address)
    page.upload(path)
    eventually(lambda: "exceed" in page.element("body").text.lower() or "too large" in page.element("body").text)


def test_two_visitors_get_answers_of_their_own(visitor: Callable[[], Any], address: str, tmp_path: Path) -> None:
    paths = {"cat": tmp_path / "cat.png", "person": tmp_path / "person.png"}
    write_image(paths["cat"], CAT)
    write_image(paths["person"], PERSON)
    pages = {name: opened(visitor(), address) for name in paths}
    with pages["cat"].another_answer(), pages["person"].another_answer():
        for name, page in pages.items():
            page.upload(paths[name])
    sizes = {name: page.facts()["computed at"] for name, page in pages.items()}
    assert sizes == {"cat": "160 × 120", "person": "200 × 150"}
    # Moving a control of one leaves the other's.
    number = pages["person"].in_view("#crf-iterations input[type=number]")
    number.clear()
    number.send_keys("2\t")
    eventually(lambda: pages["person"].facts()["iterations"] == "2")
    assert pages["cat"].facts()["iterations"] == "10"


def test_scribbles_are_refined(address: str, shared: Any) -> None:
    page = opened(shared, address, "own")
    page.in_view("#crf-samples-own button.gallery-item").click()
    ink = eventually(lambda: [e for e in page.all(".crf-ink") if e.is_displayed() and e.size["height"] > 50])[0]
    page.in_view(".crf-ink")
    drag(shared, ink, (0.3, 0.5), (0.6, 0.5), (0.5, 0.6))
    page.element(".crf-pens [data-label='0']").click()
    with page.another_answer():
        drag(shared, ink, (0.05, 0.05), (0.5, 0.05), (0.95, 0.1))
    assert set(page.shares()) == {"background", "label 1"}
    assert "network" not in page.facts()


def test_a_mask_and_probabilities_are_refined(address: str, shared: Any, tmp_path: Path) -> None:
    write_image(tmp_path / "photo.png", CAT)
    labels = np.zeros(CAT.shape[:2], np.uint8)
    labels[30:90, 40:120] = 1
    write_labels(tmp_path / "mask.png", labels)
    np.save(tmp_path / "probabilities.npy", np.stack([0.2 + 0.6 * (labels == label) for label in (0, 1)]))
    page = opened(shared, address, "own")
    page.upload(tmp_path / "photo.png")
    eventually(lambda: page.element(".crf-draw").is_displayed())
    for kind, where, file in (("Mask", "mask", "mask.png"), ("Probabilities", "planes", "probabilities.npy")):
        page.in_view(f"input[type=radio][value={kind}]").click()
        page.answer(tmp_path / file, where)
        assert set(page.shares()) == {"background", "label 1"}


def test_what_takes_too_long_is_given_up(address: str, tmp_path: Path) -> None:
    with demo("--time-limit", "0.001") as hurried, browser(tmp_path) as driver:
        driver.get(hurried)
        assert "takes longer than 0.001 seconds" in Page(driver).complaint()
