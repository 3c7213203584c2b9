"""Errors: whose fault, in fields for programs, one safe line for people, an exit code for scripts."""

from __future__ import annotations

import pytest

from insitu.protocol.engine import (
    EnvironmentFault,
    Fault,
    InsituError,
    ProtocolError,
    StateError,
    TableError,
    UsageError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InsituError, 1),
        (TableError, 1),
        (UsageError, 2),
        (ProtocolError, 3),
        (EnvironmentFault, 4),
        (StateError, 5),
    ],
)
def test_exit_code_says_whose_fault_it_is(error: type[InsituError], code: int):
    assert error("x").exit_code == code
    assert issubclass(error, InsituError)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "wrong serial number"),
        ({"who": "unit"}, "unit: wrong serial number"),
        ({"expected": 7}, "wrong serial number (expected 7)"),
        ({"got": 8}, "wrong serial number (got 8)"),
        ({"who": "unit", "expected": 7, "got": 0}, "unit: wrong serial number (expected 7, got 0)"),
        ({"expected": False, "got": None}, "wrong serial number (expected False, got None)"),
    ],
)
def test_text_is_made_from_the_fields(fields: dict[str, object], text: str):
    error = UsageError("wrong serial number", **fields)
    assert str(error) == text
    assert error.summary == "wrong serial number"
    assert error.who == fields.get("who", "")
    assert error.expected == str(fields.get("expected", ""))
    assert error.got == str(fields.get("got", ""))


def test_protocol_error_carries_the_one_code_that_the_peer_is_told():
    assert ProtocolError("x").fault is Fault.UNTRUSTED
    assert ProtocolError("x", fault=Fault.MALFORMED).fault is Fault.MALFORMED


def test_fault_codes_are_those_of_the_wire():
    assert {fault.name: fault.value for fault in Fault} == {
        "UNEXPECTED": 1,
        "MALFORMED": 2,
        "UNTRUSTED": 3,
        "UNSUPPORTED": 4,
        "TIMEOUT": 5,
        "UNAVAILABLE": 6,
        "BUSY": 7,
        "LOCKED": 8,
    }


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("two\nlines", r"two\nlines"),
        ("\x1b[2Jcleared", r"\x1b[2Jcleared"),
        ("abc\u202edcba", r"abc\u202edcba"),
        ("half \ud800", r"half \ud800"),
        ("Grüße, 你好", "Grüße, 你好"),
    ],
)
def test_words_of_a_peer_cannot_play_tricks_on_a_terminal_or_log(words: str, shown: str):
    error = ProtocolError("refused", who="unit", got=words)
    assert str(error) == f"unit: refused (got {shown})"
    assert error.got == words


def test_an_error_carries_its_words_and_not_what_it_was_made_of():
    """Whoever shows `args` or repr, as debuggers and logs do, shows what went wrong and nothing of the data."""

    class Wrong(ProtocolError):
        def __init__(self, secret: str) -> None:
            super().__init__("refused", who="unit")
            self.length = len(secret)

    error = Wrong("4711081547110815")
    assert error.args == ("refused",)
    assert "4711" not in repr(error)
