from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel.edhoc.ead import Ead, check_understood, encode_ead, read_ead
from insitu.protocol.engine import Fault, ProtocolError, UsageError
from insitu.protocol.messages.codec import DecodeError, decode_sequence

items = st.builds(
    Ead, st.integers(1, 1 << 32), st.none() | st.binary(max_size=30), critical=st.booleans()
)  # fmt: skip


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (Ead(0), "00"),
        (Ead(0, b""), "0040"),
        (Ead(0, b"\xe9"), "0041e9"),
        (Ead(1, critical=True), "20"),
        (Ead(24, b"a", critical=True), "374161"),
        (Ead(65535), "19ffff"),
    ],
)
def test_encoding(item, encoded):
    """RFC 9528 section 3.8 and 3.8.1."""
    assert item.encode().hex() == encoded


@given(st.lists(items, max_size=6))
def test_there_and_back(sent):
    encoded = encode_ead(sent)
    found, again = read_ead(decode_sequence(encoded))
    assert list(found) == sent
    assert again == encoded


def test_padding_is_bound_and_goes_no_further():
    encoded = encode_ead((Ead(0), Ead(1, b"x"), Ead(0, bytes(40)), Ead(0)))
    assert read_ead(decode_sequence(encoded)) == ((Ead(1, b"x"),), encoded)


@pytest.mark.parametrize("sequence", [(b"value first",), (1, b"", b""), ("1",), (True,), (None,), (1, "text"), ((1,),)])
def test_what_is_no_ead(sequence):
    with pytest.raises(DecodeError, match="EAD item"):
        read_ead(sequence)


@pytest.mark.parametrize(("label", "critical"), [(-1, False), (-1, True), (0, True)])
def test_labels_that_cannot_be_sent(label, critical):
    with pytest.raises(UsageError, match="EAD label"):
        Ead(label, critical=critical)


def test_critical_items():
    sent = (Ead(1), Ead(2, critical=True))
    check_understood(sent, frozenset({2}))
    with pytest.raises(ProtocolError, match="critical EAD item") as caught:
        check_understood(sent, frozenset({1}))
    assert caught.value.fault is Fault.UNSUPPORTED
    assert (caught.value.expected, caught.value.got) == ("[1]", "2")
    with pytest.raises(ProtocolError) as caught:
        check_understood(sent, frozenset())
    assert caught.value.expected == "no critical item"


def test_values_do_not_show():
    assert "secret" not in repr(Ead(1, b"secret"))
