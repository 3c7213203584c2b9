from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from world import World

from insitu.protocol.channel import proofs
from insitu.protocol.channel.proofs import Side
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
    "enrollment": (proofs.enrollment, (BINDING, b"cu", KEY)),
}
"""What is signed about one channel."""
ELSEWHERE: dict[str, Statement] = {
    "secret": (proofs.possession_of_secret, (BINDING, "tan", Side.MODULE, "SN-1")),
    "exchange": (proofs.exchange_identity, (BINDING, "tan", Side.MODULE, "SN-1")),
    "ticket key": (proofs.ticket_path, (7,)),
    "ticket": (proofs.ticket, (7, "SN-1", KEY)),
    "reset challenge": (proofs.reset_challenge, (BINDING,)),
    "trusted issuer": (proofs.trusted_issuer, (b"cu",)),
    "log head": (proofs.log_head, (b"ca", 4, b"di", 2, 1000)),
    "log receipt": (proofs.log_receipt, ("Host", b"ca", 4, b"di", 1000)),
}
"""What is proved by a MAC, derived, asked, or signed about something that outlasts channels."""
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
    "enrollment": [(CHALLENGE, b"cu", KEY), (BINDING, b"x", KEY), (BINDING, b"cu", OTHER)],
    **{
        name: [
            (CHALLENGE, "tan", Side.MODULE, "SN-1"),
            (BINDING, "secret", Side.MODULE, "SN-1"),
            (BINDING, "tan", Side.UNIT, "SN-1"),
            (BINDING, "tan", Side.MODULE, "SN-2"),
        ]
        for name in ("secret", "exchange")
    },
    "ticket key": [(8,)],
    "ticket": [(8, "SN-1", KEY), (7, "SN-2", KEY), (7, "SN-1", OTHER)],
    "reset challenge": [(CHALLENGE,)],
    "trusted issuer": [(b"x",)],
    "log head": [
        (b"xx", 4, b"di", 2, 1000),
        (b"ca", 5, b"di", 2, 1000),
        (b"ca", 4, b"xx", 2, 1000),
        (b"ca", 4, b"di", 3, 1000),
        (b"ca", 4, b"di", 2, 1001),
    ],
    "log receipt": [
        ("Bank", b"ca", 4, b"di", 1000),
        ("Host", b"xx", 4, b"di", 1000),
        ("Host", b"ca", 5, b"di", 1000),
        ("Host", b"ca", 4, b"xx", 1000),
        ("Host", b"ca", 4, b"di", 1001),
    ],
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_argument_is_bound(name):
    make, right = (STATEMENTS | ELSEWHERE)[name]
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
    assert labels == {"insitu possession", "insitu confirmation", "insitu reset", "insitu enrollment"}
    made = [make(*arguments) for make, arguments in (STATEMENTS | ELSEWHERE).values()]
    assert len(set(made)) == len(made)
    assert {b for a in made for b in made if a is not b and b.startswith(a)} == set()


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
