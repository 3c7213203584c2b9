"""The validator that judges all messages, judged itself: what other validators got wrong, and each construct."""

from __future__ import annotations

from typing import Any

import cddlparser
import pytest
from cbor2 import CBORTag
from cddl_validator import Cddl, Unsupported

from insitu.protocol.messages import encode

HANDSHAKE = """
message = { 0: 1, 1: version, 2: nonce, 3: bstr .cbor inner, ? 4: [* extension], * tstr => any }
version = 2
nonce = bstr .size 16
inner = [ purpose: 0..2, label: tstr .size (1..3) ]
extension = [ uint, ? bstr ]
"""
GOOD: dict[Any, Any] = {0: 1, 1: 2, 2: bytes(16), 3: encode([1, "abc"])}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {4: ()},
        {4: ((1,), (2, b"x"), (3,))},
        {4: [[1], [2, b""]]},
        {"more": 1.5, "and more": None},
    ],
)
def test_accepts_what_fits(change: dict[Any, Any]) -> None:
    assert Cddl(HANDSHAKE).matches(GOOD | change)


@pytest.mark.parametrize(
    "change",
    [
        {1: 3},  # a wrong version
        {1: True},
        {1: 2.0},
        {2: bytes(15)},  # a short nonce
        {2: bytes(17)},
        {2: "0123456789abcdef"},
        {3: encode([3, "abc"])},  # wrong inner CBOR
        {3: encode([1, "abcd"])},
        {3: encode([1, ""])},
        {3: encode([1])},
        {3: encode([1, "abc", 0])},
        {3: encode([1, "abc"]) + b"\x00"},
        {3: b"\x82\x18\x01\x61a"},  # not deterministic
        {3: b""},
        {3: (1, "abc")},
        {4: ((),)},  # wrong optional elements
        {4: ((1, b"", 2),)},
        {4: ((1, "x"),)},
        {4: None},
        {5: 0},  # not a text: the wildcard does not take it
        {-1: 0},
    ],
)
def test_refuses_what_does_not(change: dict[Any, Any]) -> None:
    assert not Cddl(HANDSHAKE).matches(GOOD | change)


@pytest.mark.parametrize("missing", GOOD)
def test_refuses_a_missing_entry(missing: int) -> None:
    assert not Cddl(HANDSHAKE).matches({key: GOOD[key] for key in GOOD if key != missing})


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("a = uint", [0, 2**64 - 1], [-1, True, "0", None, 1.0]),
        ("a = nint", [-1], [0]),
        ("a = int", [-1, 0], [False, b""]),
        ("a = bool", [True, False], [0, 1, None]),
        ("a = true", [True], [1, False]),
        ("a = nil", [None], [0, False]),
        ("a = any", [None, {}, ()], []),
        ("a = 5", [5], [4, "5", True]),
        ("a = -5", [-5], [5]),
        ("a = 0x10", [16], [10]),
        ('a = "x\\"y"', ['x"y'], ["x", b'x"y']),
        ("a = h'0102'", [b"\x01\x02"], [b"", "\x01\x02"]),
        ("a = 'ab'", [b"ab"], ["ab"]),
        ("a = 1..3", [1, 2, 3], [0, 4, True, "2"]),
        ("a = 1...3", [1, 2], [0, 3]),
        ("a = low .. high\nlow = 1\nhigh = 3", [1, 3], [0, 4]),
        ("a = 1 / 2 / tstr", [1, 2, "x"], [3, b"x"]),
        ("a = (1 / 2) / b\nb = 7", [1, 2, 7], [3]),
        ("a = &(one: 1, two: 2)", [1, 2], [0, 3, "one"]),
        ("a = &b\nb = (one: 1, two: 2)", [1, 2], [3]),
        ("a = uint .size 1", [0, 255], [256, -1]),
        ("a = tstr .size 2", ["ab", "\u00fc"], ["a", "\u00fc\u00fc"]),
        ("a = bstr .size (1..2)", [b"a", b"ab"], [b"", b"abc"]),
        ('a = tstr .regexp "[A-Z]{3}"', ["EUR"], ["EURO", "eur", "xEUR", 3]),
        ("a = uint .lt 5", [4], [5]),
        ("a = uint .le 5", [5], [6]),
        ("a = uint .gt 5", [6], [5]),
        ("a = uint .ge 5", [5], [4]),
        ("a = uint .ne 5", [4], [5]),
        ("a = uint .eq 5", [5], [4]),
        ("a = uint .and (0..9)", [9], [10]),
        ("a = (0..9) .within uint", [9], [10]),
        ("a = bstr .cborseq [* uint]", [b"", b"\x00\x01"], [b"\x20", b"\x18"]),
        ("a = #6.32(tstr)", [CBORTag(32, "x")], [CBORTag(33, "x"), CBORTag(32, 1), "x"]),
        ("a = [uint, tstr]", [(1, "x"), [1, "x"]], [(), (1,), (1, "x", 2), ("x", 1), {0: 1}]),
        ("a = []", [()], [(0,)]),
        ("a = [+ uint]", [(1,), (1, 2)], [(), (1, "x")]),
        ("a = [2*3 uint]", [(1, 2), (1, 2, 3)], [(1,), (1, 2, 3, 4)]),
        ("a = [*2 uint]", [(), (1, 2)], [(1, 2, 3)]),
        ("a = [? uint, uint]", [(1,), (1, 2)], [(), (1, 2, 3)]),  # needs backtracking
        ("a = [* uint, uint, tstr]", [(1, "x"), (1, 2, 3, "x")], [("x",), (1,)]),
        ("a = [uint // tstr, tstr]", [(1,), ("x", "y")], [("x",), (1, "y")]),
        ("a = [* (uint, tstr)]", [(), (1, "x"), (1, "x", 2, "y")], [(1,), (1, "x", 2)]),
        ("a = [b, b]\nb = (uint, ? tstr)", [(1, 2), (1, "x", 2)], [(1, "x"), (1, "x", "y", 2)]),
        ("a = [~b, bool]\nb = [uint, tstr]", [(1, "x", True)], [((1, "x"), True)]),
        ("a = {}", [{}], [{0: 0}]),
        ("a = {x: uint}", [{"x": 1}], [{}, {"x": -1}, {"x": 1, "y": 1}]),
        ("a = {? 1: uint, 2: tstr}", [{2: "x"}, {1: 1, 2: "x"}], [{1: 1}, {1: "x", 2: "x"}]),
        ("a = {* uint => tstr}", [{}, {1: "x", 2: "y"}], [{1: 1}, {"x": "x"}]),
        ("a = {2*2 uint => any}", [{1: 0, 2: 0}], [{1: 0}, {1: 0, 2: 0, 3: 0}]),
        ("a = {1: uint // 2: uint}", [{1: 0}, {2: 0}], [{}, {1: 0, 2: 0}]),
        ("a = {b, 2: uint}\nb = (1: uint)", [{1: 0, 2: 0}], [{2: 0}, {1: 0}]),
        ("a = {? b, 2: uint}\nb = (1: uint)", [{1: 0, 2: 0}, {2: 0}], [{1: "x", 2: 0}]),
        ("a = {~b, 2: uint}\nb = {1: uint}", [{1: 0, 2: 0}], [{2: 0}]),
    ],
)
def test_each_construct(rule: str, good: list[Any], bad: list[Any]) -> None:
    specification = Cddl(rule)
    assert [item for item in good if not specification.matches(item)] == []
    assert [item for item in bad if specification.matches(item)] == []


def test_a_cut_keeps_a_known_key_from_the_wildcard() -> None:
    for cut in ("? 1 ^=> uint", "? 1: uint"):
        assert Cddl(f"a = {{ {cut}, * any => any }}").matches({1: 0, 2: "x"})
        assert not Cddl(f"a = {{ {cut}, * any => any }}").matches({1: "x"})
    assert Cddl("a = { ? 1 => uint, * any => any }").matches({1: "x"})


def test_a_cut_ends_at_its_alternative() -> None:
    assert Cddl("a = { 0: 1, 1: uint } / { 0: 2, 1: tstr }").matches({0: 2, 1: "x"})
    assert not Cddl("a = { 0: 1, 1: uint } / { 0: 2, 1: tstr }").matches({0: 2, 1: 3})
    assert Cddl("a = { 0: 1 // 0: 2 }").matches({0: 2})


def test_a_rule_may_be_named() -> None:
    specification = Cddl("a = uint\nb = tstr")
    assert specification.matches("x", "b")
    assert not specification.matches("x")


@pytest.mark.parametrize(
    "text",
    [
        "a = b",
        "a = [b]",
        "a = { b => uint }",
        "a = float",
        "a = 1.5",
        "a = b64'AA'",
        "a = uint .bits b\nb = &(x: 0)",
        "a<t> = [t]",
        "a = uint\na = tstr",
        "a = uint\na /= tstr",
    ],
)
def test_refuses_a_specification_beyond_its_reach(text: str) -> None:
    with pytest.raises(Unsupported):
        Cddl(text)


def test_refuses_what_is_no_specification() -> None:
    with pytest.raises(cddlparser.ParserError):
        Cddl("a = {")
