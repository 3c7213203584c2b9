"""docs/fuzzing.md: its commands run, its target works, its numbers are the code's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from commands import insitu

from insitu.fuzz import TARGETS
from insitu.fuzz.target import FRAME_MEMORY, FRAME_SECONDS

TEXT = (Path(__file__).parents[2] / "docs" / "fuzzing.md").read_text()
PIECES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


def shortened(words: list[str]) -> list[str]:
    """The command with little to do, by the engine that is everywhere."""
    quick = {"--seconds": "0.3", "--runs": "20", "--total": "1"}
    words = [quick.get(before, word) for before, word in zip(["", *words], words, strict=False)]
    return words if {"--list", "--sum"} & {*words} or "--engine" in words else [*words, "--engine", "built-in"]


@pytest.mark.parametrize("line", [line for line in COMMANDS if "--replay" not in line and "under-test" not in line])
def test_every_command_runs(line: str, monkeypatch, tmp_path):
    """But for those that need a finding, or a module on a line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("insitu.cli.fuzz_targets.TARGETS", {name: TARGETS[name] for name in ("codec", "cobs")})
    (tmp_path / "runs.jsonl").touch()
    name, *words = shlex.split(line)
    assert name == "insitu"
    ran = insitu(*shortened(words))
    assert (ran.code, ran.err) == (0, "")


def test_the_target_of_ones_own(monkeypatch):
    _, code = PIECES
    monkeypatch.delitem(TARGETS, "my-reader", raising=False)
    scope: dict[str, object] = {}
    exec(code, scope)
    assert TARGETS.pop("my-reader").invariant == "Whatever comes, my reader answers a number or None."


def test_a_module_is_driven():
    scope: dict[str, object] = {}
    exec(PIECES[0], scope)


def test_the_command_for_a_module_is_one():
    (line,) = (line for line in COMMANDS if "under-test" in line)
    ran = insitu(*shlex.split(line)[1:])
    assert (ran.code, ran.error) == (
        2,
        "passphrase: file card.pass (expected a file that can be read, got No such file or directory)",
    )


def test_the_numbers():
    assert f"({FRAME_SECONDS * 1000:.0f} ms a frame)" in TEXT
    assert f"{FRAME_MEMORY >> 20} MiB" in TEXT
