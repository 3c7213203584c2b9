"""docs/embedding.md says what the code does: its pieces are the example's, its numbers the code's, its links hold."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import pytest

from insitu.embed import Controller
from insitu.embed.thread import GRACE
from insitu.protocol.parties.module_data import MACHINE_SECONDS
from insitu.protocol.parties.work_data import BEAT_SECONDS
from insitu.protocol.session import HANDSHAKE_FRAME, HANDSHAKE_SECONDS, SEND_SECONDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))
EMBEDDING = (ROOT / "docs" / "embedding.md").read_text()


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines()]


def test_every_piece_of_code_is_the_examples():
    example = "\n".join(lines((ROOT / "examples" / "asyncio_module.py").read_text()))
    pieces = re.findall(r"^ *```python\n(.*?)```", EMBEDDING, re.DOTALL | re.MULTILINE)
    assert len(pieces) == 4
    for piece in pieces:
        assert "\n".join(lines(textwrap.dedent(piece).strip())) in example


def test_every_call_of_the_controller_has_its_line():
    documented = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`[^|]*) \|", EMBEDDING, re.MULTILINE))))
    calls = {name for name, what in inspect.getmembers(Controller, inspect.isfunction) if not name.startswith("_")}
    assert calls <= documented


def test_the_numbers():
    for row in (
        f"| the whole handshake | {HANDSHAKE_SECONDS:g} |",
        f"| an answer of the host | {MACHINE_SECONDS:g} |",
        f"| between signs of life | {BEAT_SECONDS:g} |",
        f"| a flight that the other side does not read | {SEND_SECONDS:g} |",
        f"at most {HANDSHAKE_FRAME:,} bytes",
        f"{GRACE:g} seconds more",
    ):
        assert row in EMBEDDING


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links(path: Path):
    for target in re.findall(r"\]\(([^)\s]*)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        there = path.parent / file
        assert there.exists(), target
        if anchor:
            assert f"# {anchor.replace('-', ' ')}" in there.read_text().lower()
