from __future__ import annotations

import inspect
from typing import Any

import pytest
from cddl_validator import Cddl
from hypothesis import given
from hypothesis import strategies as st
from message_strategies import objects

from insitu.protocol.messages import decode, decode_record, encode_record, records
from insitu.protocol.messages.records import RECORD_LIMITS
from insitu.protocol.messages.wire import Layout

RECORDS = [
    cls
    for _, cls in inspect.getmembers(records, inspect.isclass)
    if cls.__module__ == records.__name__ and isinstance(getattr(cls, "__wire_layout__", None), Layout)
]


def test_finds_the_records() -> None:
    assert {"ModuleRecord", "CentralRecord", "CardRecord"} <= {cls.__name__ for cls in RECORDS}


@pytest.mark.parametrize("cls", RECORDS)
@given(data=st.data())
def test_round_trip_and_specification(cddl: Cddl, cls: type[Any], data: st.DataObject) -> None:
    record = data.draw(objects(cls))
    encoded = encode_record(record)
    assert decode_record(cls, encoded, **RECORD_LIMITS) == record
    assert cddl.matches(decode(encoded), cls.__name__)
