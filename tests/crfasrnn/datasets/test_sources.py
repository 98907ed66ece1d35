"""Where data sets are published: addresses, and commands that the command line knows."""

from __future__ import annotations

import re
import shlex

import pytest

from crfasrnn.commands.main import command_line
from crfasrnn.datasets.sources import SOURCES, Archive, instructions


def test_an_archive_says_what_is_known_of_it() -> None:
    assert Archive("http://x/a.tar", 1234567, "0" * 32).text().split("\n")[1].strip() == (
        "1,234,567 bytes; md5 " + "0" * 32
    )
    assert Archive("http://x/a.pth", 5, sha256="0" * 64).text().endswith("5 bytes; sha256 " + "0" * 64)
    assert Archive("http://x/a.tar").text().endswith("size not known here; checksum not known here")


def test_checksums_and_addresses_have_their_form() -> None:
    text = instructions()
    for source in SOURCES:
        assert source.title in text
        for archive in source.archives:
            assert re.fullmatch(r"https?://[\w./~-]+", archive.url)
            assert archive.md5 is None or re.fullmatch(r"[0-9a-f]{32}", archive.md5)
            assert archive.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
            assert archive.url in text


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.title.split()[0])
def test_the_commands_are_ones_that_the_command_line_knows(source) -> None:
    commands = [line.strip() for line in source.usage.split("\n") if line.strip().startswith("crfasrnn ")]
    assert commands
    for command in commands:
        arguments = command_line().parse_args(shlex.split(command)[1:])
        assert callable(arguments.run)
