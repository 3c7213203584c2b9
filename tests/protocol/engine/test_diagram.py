"""Diagrams: exactly what a table lets happen, in the order of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from insitu.protocol.engine import STAY, Table, mermaid, row


class Lamp(Enum):
    OFF = auto()
    ON = auto()
    BROKEN = auto()


@dataclass(frozen=True, slots=True)
class Pressed:
    pass


@dataclass(frozen=True, slots=True)
class Dropped:
    pass


def mains_are_on(_: object, __: Pressed) -> bool:
    return True


def count(data: object, _: object) -> tuple[object, list[Any]]:
    return data, []


def lamp(*extra: Any, **options: Any) -> Table[Lamp, object]:
    rows = [
        row(Lamp.OFF, Pressed, mains_are_on, count, Lamp.ON),
        row(Lamp.OFF, Pressed, None, None, STAY),
        row(Lamp.ON, Pressed, None, count, Lamp.OFF),
        row((Lamp.OFF, Lamp.ON), Dropped, None, None, Lamp.BROKEN),
        *extra,
    ]
    return Table("lamp", Lamp, Lamp.OFF, rows, **options)


def test_every_arrow_with_event_guard_and_action():
    assert mermaid(lamp()) == (
        "%% lamp: generated from its table; do not edit\n"
        "stateDiagram-v2\n"
        "    [*] --> OFF\n"
        "    OFF --> ON: Pressed [mains_are_on] / count\n"
        "    OFF --> OFF: Pressed\n"
        "    ON --> OFF: Pressed / count\n"
        "    OFF --> BROKEN: Dropped\n"
        "    ON --> BROKEN: Dropped\n"
    )


def test_arrows_between_the_same_states_share_a_line():
    text = mermaid(lamp(row(Lamp.BROKEN, Dropped, None, None, STAY), row(Lamp.BROKEN, Pressed, None, count, STAY)))
    assert text.endswith("    BROKEN --> BROKEN: Dropped<br>Pressed / count\n")
    assert text.count("BROKEN --> BROKEN") == 1


def test_every_entry_is_drawn_once():
    text = mermaid(lamp(entries=[Lamp.BROKEN, Lamp.OFF]))
    assert [line for line in text.splitlines() if "[*]" in line] == ["    [*] --> OFF", "    [*] --> BROKEN"]


def test_what_an_earlier_row_leaves_nothing_to_is_not_drawn():
    text = mermaid(lamp(row(Lamp, Dropped, None, count, STAY)))
    assert "    BROKEN --> BROKEN: Dropped / count\n" in text
    assert "    OFF --> OFF: Pressed\n" in text
    assert "    ON --> ON" not in text
