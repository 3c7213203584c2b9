"""docs/checking.md: its commands are run, its options, worlds and words are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from commands import insitu

from insitu.check.themes import THEMES
from insitu.cli.check import check

TEXT = (Path(__file__).parents[2] / "docs" / "checking.md").read_text()


def test_its_commands():
    block = re.search(r"<!-- one option -->\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert block
    ran = [insitu(*shlex.split(command)[1:]) for command in block[1].splitlines()]
    assert [each.code for each in ran] == [0, 0]
    (shown,) = re.findall(r"```text\n(.*)\n```", TEXT)
    first, *_, last = ran[0].out.splitlines()
    assert re.sub(r"[\d.]+", "N", first) == re.sub(r"[\d.]+", "N", shown)
    assert last.startswith("2 worlds: 0 searched to the end, 2 NOT; ")


def test_its_options_are_the_commands():
    options = {name for parameter in check.params for name in parameter.opts}
    assert set(re.findall(r"`(--[a-z]+)", TEXT)) == options


def test_its_worlds_are_the_codes():
    section = TEXT.partition("## Worlds")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `([a-z][a-z-]*)` \|", section, re.MULTILINE)) == set(THEMES)
