"""Tables without one of their guards, for tests that want to see that somebody notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from insitu.protocol.engine import Table
from insitu.protocol.parties.work_keys import key_is_usable


def unguarded(table: Table[Any, Any], guard: str) -> tuple[Any, ...]:
    """Its rows, with a guard that refuses nothing any more, but for a symmetric key that is not there."""

    def anything(data: Any, event: Any) -> bool:
        return guard != key_is_usable.__name__ or data.secret_for(event.usage) is not None

    rows = [replace(each, when=anything) if each.when and each.when.__name__ == guard else each for each in table.rows]
    assert rows != list(table.rows)
    return tuple(rows)
