from __future__ import annotations

from itertools import product

import pytest
from cddl_validator import Cddl

from insitu.protocol.engine import Fault, UsageError
from insitu.protocol.messages import (
    VERSION,
    DecodeError,
    Intent,
    Purpose,
    TrustOption,
    decode_intent,
    encode,
    encode_intent,
)


@pytest.mark.parametrize(("purpose", "option"), list(product(Purpose, TrustOption)))
def test_bytes_are_exactly_these(cddl: Cddl, purpose: Purpose, option: TrustOption) -> None:
    data = bytes([0x83, VERSION, purpose, option])
    intent = Intent(purpose, option)
    assert intent.version == VERSION == 1
    assert encode_intent(intent) == data
    assert decode_intent(data) == intent
    assert cddl.matches(data, "EAD-Intent")


@pytest.mark.parametrize("data", ["83000000", "83020001", "83011701", "8301000F"])
def test_unknown_versions_purposes_and_options_are_unsupported(cddl: Cddl, data: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_intent(bytes.fromhex(data))
    assert caught.value.fault is Fault.UNSUPPORTED
    assert not cddl.matches(bytes.fromhex(data), "EAD-Intent")


@pytest.mark.parametrize(
    "data",
    [
        "",
        "80",
        "820100",
        "8401000100",
        "a0",
        "8101",
        "831801",
        "8318010001",
        "8301000100",
        "83010001" * 5,
        "838080" + "80",
    ],
)
def test_everything_else_is_malformed(cddl: Cddl, data: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_intent(bytes.fromhex(data))
    assert caught.value.fault is Fault.MALFORMED
    assert not cddl.matches(bytes.fromhex(data), "EAD-Intent")


@pytest.mark.parametrize("item", [[1, True, 0], [1, 0, False], [True, 0, 0], [1, None, 0], [1, "0", 0], [1, 0, b""]])
def test_kinds_are_exact(cddl: Cddl, item: list[object]) -> None:
    with pytest.raises(DecodeError):
        decode_intent(encode(item))
    assert not cddl.matches(encode(item), "EAD-Intent")


def test_a_caller_cannot_ask_for_another_version() -> None:
    with pytest.raises(UsageError, match=r"Intent\.version"):
        Intent(Purpose.OPERATE, TrustOption.CERTIFICATES, 2)
    with pytest.raises(UsageError, match=r"Intent\.purpose"):
        Intent(0, TrustOption.PHYSICAL)  # type: ignore[arg-type]
