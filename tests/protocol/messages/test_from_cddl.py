"""Every message and record, generated from its CDDL: read and written again alike, and refused for any near miss."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from cddl_strategies import compound, items, near_misses
from cddl_validator import Cddl
from hypothesis import given, settings
from hypothesis import strategies as st

from insitu.protocol import messages
from insitu.protocol.engine import UsageError
from insitu.protocol.messages import MESSAGES, DecodeError, decode_message, decode_record, encode, encode_message, tans
from insitu.protocol.messages.records import RECORD_LIMITS
from insitu.protocol.messages.wire import Layout

DECLARED: dict[str, type[Any]] = {
    cls.__name__: cls
    for module in (messages, tans)
    for cls in vars(module).values()
    if isinstance(getattr(cls, "__wire_layout__", None), Layout)
}
RECORDS = {name: cls for name, cls in DECLARED.items() if cls not in MESSAGES}


def test_every_rule_for_a_map_or_array_is_one_of_them(cddl: Cddl):
    """So that nothing is left out."""
    assert {rule for rule in cddl.rules if compound(cddl, rule)} == set(DECLARED)
    assert len(MESSAGES) + len(RECORDS) == len(DECLARED)


def read(name: str, data: bytes) -> Any:
    """As the product reads it."""
    cls = DECLARED[name]
    return decode_message(data) if cls in MESSAGES else decode_record(cls, data, **RECORD_LIMITS)


@pytest.mark.parametrize("name", DECLARED)
@given(data=st.data())
@settings(max_examples=8)
def test_what_the_cddl_allows_is_read_and_written_again(cddl: Cddl, name: str, data: st.DataObject):
    item = data.draw(items(cddl, name))
    assert cddl.matches(item, name)
    encoded = encode(item)
    found = read(name, encoded)
    assert type(found) is DECLARED[name]
    again = encode_message(found) if type(found) in MESSAGES else messages.encode_record(found)
    assert again == encoded


@pytest.mark.parametrize("name", DECLARED)
@given(data=st.data())
@settings(max_examples=4)
def test_what_just_misses_is_refused(cddl: Cddl, name: str, data: st.DataObject):
    item = data.draw(items(cddl, name))
    tried = 0
    for what, wrong in near_misses(cddl, name, item):
        if cddl.matches(wrong, name):
            continue  # the entry was not there, or is a text of its own already
        try:
            read(name, encoded(wrong))
        except DecodeError:
            tried += 1
        else:
            pytest.fail(f"read as {name}: {what}")
    assert tried > 10


def encoded(item: Any) -> bytes:
    """Also what the product would not write: floats, numbers of more than 64 bits, keys of any type."""
    try:
        return encode(item)
    except UsageError:
        return cbor2.dumps(item, canonical=True)
