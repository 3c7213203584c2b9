"""docs/simulation.md: its commands are run, its options are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from commands import insitu

from insitu.cli.simulate import simulate

TEXT = (Path(__file__).parents[2] / "docs" / "simulation.md").read_text()


def test_its_commands():
    block = re.search(r"<!-- one world -->\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert block
    for command in block[1].splitlines():
        ran = insitu(*shlex.split(command)[1:])
        assert ran.code == 0, ran.out


def test_its_options_are_the_commands():
    options = {name for parameter in simulate.params for name in parameter.opts}
    told = set(re.findall(r"`(--[a-z]+)", TEXT))
    assert told == options
