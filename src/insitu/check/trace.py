"""A trace, for people: the moves that lead to what was found, as a Mermaid sequence diagram."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .invariants import Violation
from .state import Move

DIAGRAM: Final = "sequenceDiagram"
"""How it begins."""
_AT_ONE: dict[str, str] = {
    "crash": "the power fails",
    "expire": "the deadline passes",
    "later": "time passes",
    "cut": "the link is cut",
}


def mermaid(trace: Iterable[Move], violation: Violation | None = None) -> str:
    """The diagram; it ends with a newline."""
    lines, names = [DIAGRAM], dict[str, str]()
    moves = tuple(trace)
    for move in moves:
        for name in (move.whom, move.who):
            if name and name not in names:
                names[name] = f"P{len(names)}"
                lines.append(f"    participant {names[name]} as {name}")
    lines += [f"    {_line(move, names)}" for move in moves]
    if violation is not None and moves:
        lines.append(f"    Note over {names[moves[-1].who]}: {_plain(violation.what)} ({violation.invariant})")
    return "\n".join(lines) + "\n"


def _line(move: Move, names: dict[str, str]) -> str:
    who, whom = names[move.who], names.get(move.whom, "")
    if move.kind in _AT_ONE:
        return f"Note over {who}: {_AT_ONE[move.kind]}{_plain(f': {move.text}' if move.text else '')}"
    if move.kind == "join":
        return f"Note over {who},{whom}: {_plain(move.text)}"
    if not whom:
        return f"Note over {who}: {move.kind} {_plain(move.text)}"
    said = {"inject": "out of place: ", "double": "doubled: "}.get(move.kind, "")
    return f"{whom}->>{who}: {_plain(said + move.text)}"


def _plain(text: str) -> str:
    """Without what Mermaid would take for its own."""
    return text.replace(";", ",").replace("#", "no. ").replace("\n", " ")
