"""Holds everything that is encoded or decoded against the CDDL; switched on for all tests by tests/conftest.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import cbor2
import pytest
from cddl_validator import Cddl

from insitu.protocol.messages.wire import Layout

MOST_KNOWN: Final = 20_000
"""Items that matched are remembered, up to this many: worlds repeat, and with them what is said in them."""


class Watch:
    """Sees the item behind every declared object that is encoded, and behind every one that was decoded.

    Attributes:
        seen: how many items were validated.
        violations: those that do not match the rule named like their class: (class name, item).

    """

    def __init__(self, cddl: Cddl) -> None:
        self.cddl = cddl
        self.seen = 0
        self.violations: list[tuple[str, object]] = []
        self._right: set[tuple[str, bytes]] = set()

    def observe(self, layout: Layout, item: object) -> None:
        # Classes that a test declares for itself have no rule and need none.
        if not layout.cls.__module__.startswith("insitu.protocol.messages."):
            return
        self.seen += 1
        name = layout.cls.__name__
        known = name, cbor2.dumps(item)
        if known in self._right:
            return
        if name not in self.cddl.rules or not self.cddl.matches(item, name):
            self.violations.append((name, item))
        elif len(self._right) < MOST_KNOWN:
            self._right.add(known)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Every way in and out of the wire leads through the two methods of Layout that are wrapped here."""
        write, read = Layout.to_item, Layout.from_item

        def to_item(layout: Layout, value: object) -> Any:
            item = write(layout, value)
            self.observe(layout, item)
            return item

        def from_item(layout: Layout, item: Any) -> Any:
            value = read(layout, item)
            self.observe(layout, item)
            return value

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Layout, "to_item", to_item)
            patch.setattr(Layout, "from_item", from_item)
            yield
