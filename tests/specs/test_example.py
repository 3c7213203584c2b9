"""The worked example is what the parties send today, and a reader who knows protocol.md only understands all of it."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SPECS = Path(__file__).parents[2] / "specs"
COMMITTED = json.loads((SPECS / "example.json").read_text(encoding="utf-8"))
TITLES = [session["title"] for session in COMMITTED["sessions"]]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SPECS))
        import example

        return example


@pytest.fixture(scope="module")
def reader(example: ModuleType) -> ModuleType:
    return sys.modules["reader"]


@pytest.fixture(scope="module")
def told(example: ModuleType) -> dict[str, Any]:
    return example.example()


def recorded(reader: ModuleType, number: int, change: tuple[int, int] | None = None) -> Any:
    """A committed session; `change`: the number of a frame, over both directions, and of a bit from its end."""
    session, certificates = COMMITTED["sessions"][number], COMMITTED["certificates"]
    writes = []
    at = 0
    for flight in session["flights"]:
        frames = []
        for text in flight["frames"]:
            frame = bytearray.fromhex(text)
            if change and change[0] == at:
                frame[-1 - change[1] // 8] ^= 1 << change[1] % 8
            frames.append(bytes(frame))
            at += 1
        writes.append((flight["from"], frames))
    physical, works = "physical" in session["title"], "operation" in session["title"]
    return reader.Recorded(
        writes,
        bytes.fromhex(session["entropy of the module"]),
        bytes.fromhex(certificates["manufacturer"]),
        int(COMMITTED["keys"]["module, session"]["private"], 16) if physical else None,
        bytes.fromhex(certificates["customer"] if works else ""),
        bytes.fromhex(certificates["central"] if works else ""),
    )


def test_the_file_is_what_the_parties_send_today(told: dict[str, Any]):
    assert told == COMMITTED, "run `make specs`"


def test_the_protocol_shows_it(example: ModuleType, told: dict[str, Any]):
    document = (SPECS / "protocol.md").read_text(encoding="utf-8")
    assert document == example.with_section(document, example.section(told)), "run `make specs`"
    assert document.count(example.BEGIN) == document.count(example.END) == 1


def test_writing_it_anew_changes_nothing(example: ModuleType):
    written = {}
    example.main(lambda path, text: written.__setitem__(path, text))
    assert written == {
        path: path.read_text(encoding="utf-8") for path in (SPECS / "example.json", SPECS / "protocol.md")
    }


def test_the_reader_is_a_stranger():
    tree = ast.parse((SPECS / "reader.py").read_text(encoding="utf-8"))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "."]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - sys.stdlib_module_names == {"cbor2", "cryptography"}


@pytest.mark.parametrize("number", range(len(TITLES)), ids=TITLES)
def test_the_reader_understands(reader: ModuleType, number: int):
    reading = reader.read(recorded(reader, number))
    session = COMMITTED["sessions"][number]
    assert {name: value.hex() for name, value in reading.values.items()} == session["values"]
    assert [message.encoded.hex() for message in reading.messages] == [m["cbor"] for m in session["messages"]]


@pytest.mark.parametrize("number", range(len(TITLES)), ids=TITLES)
def test_the_reader_notices_every_changed_frame(reader: ModuleType, number: int):
    """Otherwise its understanding would prove little."""
    frames = sum(len(flight["frames"]) for flight in COMMITTED["sessions"][number]["flights"])
    for frame in range(frames):
        with pytest.raises(Exception):  # noqa: B017 - whichever check comes first
            reader.read(recorded(reader, number, (frame, 3)))


def test_flights_and_bytes_are_few():
    """DESIGN's bound for one whole personalization; message_4 and the first record share a flight."""
    flights = COMMITTED["sessions"][0]["flights"]
    assert len(flights) == 7
    assert [len(flight["frames"]) for flight in flights] == [1, 1, 1, 2, 1, 1, 1]


def test_the_second_personalization_made_another_key():
    keys = [
        message["cbor"]
        for session in COMMITTED["sessions"]
        for message in session["messages"]
        if message["name"] == "ModuleKey"
    ]
    assert len(set(keys)) == len(keys) == 2


def test_the_serial_line_is_read_by_its_description(reader: ModuleType):
    line = COMMITTED["serial line"]
    session = int(line["caller"] + line["answerer"], 16)
    bodies = []
    for said in line["lines"]:
        number = 0 if said["name"] in ("ATTENTION", "READY") else session
        frame = reader.read_line(bytes.fromhex(said["line"]), from_caller=said["from"] == "unit", session=number)
        bodies.append(frame[4].hex())
        with pytest.raises(AssertionError):  # an echo is noise
            reader.read_line(bytes.fromhex(said["line"]), from_caller=said["from"] != "unit", session=number)
    first = COMMITTED["sessions"][0]["flights"][0]["frames"][0]
    assert bodies == [
        "01" + line["caller"],
        "01" + line["caller"] + line["answerer"],
        "",
        f"{len(first) // 2:04x}" + first,
        "",
    ]
