from __future__ import annotations

import pytest

from insitu.protocol.engine import Fault
from insitu.protocol.messages import DecodeError, FaultNotice, FieldError, decode_message, encode, encode_message


@pytest.mark.parametrize("fault", Fault)
def test_bytes_are_exactly_these(fault: Fault) -> None:
    data = bytes.fromhex("a200181f01") + bytes([fault.value])
    assert encode_message(FaultNotice(fault)) == data
    assert decode_message(data) == FaultNotice(fault)


@pytest.mark.parametrize("code", [0, 9, -1, "1", None, True])
def test_refuses_unknown_codes(code: object) -> None:
    with pytest.raises(DecodeError, match=r"FaultNotice\.code"):
        decode_message(encode({0: 31, 1: code}))


def test_carries_one_code_and_nothing_else() -> None:
    with pytest.raises(DecodeError, match="FaultNotice has unknown keys"):
        decode_message(encode({0: 31, 1: 1, 2: "because"}))
    with pytest.raises(FieldError):
        FaultNotice(1)  # type: ignore[arg-type]
