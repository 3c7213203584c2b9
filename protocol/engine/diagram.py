"""Diagrams drawn from tables. The only source is the rows; a test compares the committed files with them."""

from __future__ import annotations

from enum import Enum
from typing import Any

from .table import Row, Table


def mermaid(table: Table[Any, Any]) -> str:
    """The table as a Mermaid `stateDiagram-v2`, ending in a newline: what can happen, no more.

    An arrow reads "Event [guard] / action". Arrows that share source and target are drawn as one, their labels
    on lines of their own, so that the life of a party fits a screen.
    """
    lines = [f"%% {table.party}: generated from its table; do not edit", "stateDiagram-v2"]
    lines += [f"    [*] --> {state.name}" for state in table.entries]
    arrows: dict[tuple[str, str], list[str]] = {}
    for arrow in table.arrows:
        arrows.setdefault((arrow.source.name, arrow.target.name), []).append(_label(arrow.row))
    lines += [f"    {source} --> {target}: {'<br>'.join(labels)}" for (source, target), labels in arrows.items()]
    return "\n".join(lines) + "\n"


def _label(r: Row[Enum]) -> str:
    label = r.on.__name__
    if r.when is not None:
        label += f" [{r.when.__name__}]"
    if r.do is not None:
        label += f" / {r.do.__name__}"
    return label
