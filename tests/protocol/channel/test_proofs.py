from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import World

from insitu.protocol.channel import proofs
from insitu.protocol.engine import KeyKind, PublicKey
from insitu.protocol.messages import decode

KEY = PublicKey(KeyKind.P256, b"\x04" + bytes(64))
OTHER = PublicKey(KeyKind.P256, b"\x04" + bytes(63) + b"\x01")
BINDING, CHALLENGE = bytes(range(32)), bytes(range(32, 64))

Statement = tuple[Callable[..., bytes], tuple[Any, ...]]

STATEMENTS: dict[str, Statement] = {
    "possession": (proofs.possession, (BINDING, "SN-1", KEY)),
    "confirmation": (proofs.confirmation, (BINDING, "SN-1", (b"m", b"cu", b"ce"))),
    "reset command": (proofs.reset_command, ("SN-1", 3, CHALLENGE)),
}
OTHERS: dict[str, list[tuple[Any, ...]]] = {
    "possession": [(CHALLENGE, "SN-1", KEY), (BINDING, "SN-2", KEY), (BINDING, "SN-1", OTHER)],
    "confirmation": [
        (CHALLENGE, "SN-1", (b"m", b"cu", b"ce")),
        (BINDING, "SN-2", (b"m", b"cu", b"ce")),
        (BINDING, "SN-1", (b"x", b"cu", b"ce")),
        (BINDING, "SN-1", (b"m", b"x", b"ce")),
        (BINDING, "SN-1", (b"m", b"cu", b"x")),
        (BINDING, "SN-1", (b"cu", b"m", b"ce")),
        (BINDING, "SN-1", (b"mc", b"u", b"ce")),  # the border between two moved
    ],
    "reset command": [("SN-2", 3, CHALLENGE), ("SN-1", 4, CHALLENGE), ("SN-1", 3, BINDING)],
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_argument_is_bound(name):
    make, right = STATEMENTS[name]
    assert make(*right) == make(*right)
    assert all(make(*other) != make(*right) for other in OTHERS[name])


def test_no_statement_is_another():
    """Each begins with its own label, in the form of a COSE Sig_structure with the binding outside the payload."""
    labels = set()
    for make, arguments in STATEMENTS.values():
        context, protected, external, payload = decode(make(*arguments))  # type: ignore[misc]
        assert (context, protected) == ("Signature1", b"\xa1\x01\x26")
        assert external in (BINDING, CHALLENGE)
        labels.add(decode(payload)[0])  # type: ignore[index, arg-type]
    assert labels == {"insitu possession", "insitu confirmation", "insitu reset"}


@given(binding=st.binary(min_size=32, max_size=32))
def test_a_challenge_is_as_fresh_as_its_channel_and_does_not_tell_its_binding(binding):
    challenge = proofs.reset_challenge(binding)
    assert len(challenge) == 32
    assert challenge != binding
    assert challenge == proofs.reset_challenge(binding)
    assert challenge != proofs.reset_challenge(bytes((binding[0] ^ 1, *binding[1:])))


def test_what_a_certificate_is_signed_over_is_never_a_statement(world: World):
    """The card's key signs certificates only: they are no Sig_structure, and no statement is a certificate."""
    assert world.customer[0] == 0x30
    for make, arguments in STATEMENTS.values():
        assert make(*arguments)[0] == 0x84
