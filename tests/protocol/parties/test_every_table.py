"""All tables alike: what each state says to each event that there is, also to those of other parties."""

from __future__ import annotations

from typing import Any

import pytest

from insitu.protocol.engine import Refused, Table
from insitu.protocol.messages import MESSAGES
from insitu.protocol.parties.tables import TABLES

EVENTS = {event.__name__: event for table in TABLES for event in table.events} | {
    message.__name__: message for message in MESSAGES
}


def test_there_are_many():
    assert len(EVENTS) > 100
    assert len(TABLES) > 20


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_and_event_is_classified(table: Table[Any, Any]):
    """A row is there, or the event is refused, with the names of those that would have had a place."""
    classified = 0
    for state in table.states:
        accepted = table.accepts(state)
        rows = [row for row in table.rows if state in row.sources]
        assert set(accepted) == {row.on for row in rows}
        for event in EVENTS.values():
            classified += 1
            if event in accepted:
                continue
            with pytest.raises(Refused) as refusal:
                table.step(state, None, object.__new__(event))
            assert (refusal.value.state, refusal.value.event) == (state.name, event.__name__)
            assert refusal.value.accepted == tuple(each.__name__ for each in accepted)
            assert refusal.value.guards == ()
    assert classified == len(table.states) * len(EVENTS)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_where_nothing_is_accepted_nothing_more_happens(table: Table[Any, Any]):
    """An end is an end: no row leaves it, and every other state has a way on."""
    ends = [state for state in table.states if not table.accepts(state)]
    assert all(arrow.source not in ends for arrow in table.arrows)
    targets = {arrow.target for arrow in table.arrows}
    assert set(ends) <= targets | set(table.entries)
