"""What dataclasses of the channel show of themselves: logs, tracebacks and failed assertions print that (S9)."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass

import pytest

from insitu.protocol import channel
from insitu.protocol.channel.edhoc import Credential, Ead, Kid
from insitu.protocol.channel.edhoc.config import Own
from insitu.protocol.engine import KeyKind, PublicKey

OCTETS = b"octets that nobody reads"
HELD = {
    "bytes": OCTETS,
    "tuple[bytes, ...]": (OCTETS,),
    "Credential": Credential(Kid(OCTETS), OCTETS, PublicKey(KeyKind.P256, OCTETS)),
    "Own": Own(OCTETS, OCTETS, OCTETS),
    "Ead": Ead(1, OCTETS),
    "tuple[Ead, ...]": (Ead(1, OCTETS),),
}
"""By the type of a field, what holds octets."""
SHOWN = {
    "Sign1": {"protected", "payload", "signature"},
    "Encrypt0": {"protected", "ciphertext"},
    # Names of a handshake, which go over the wire in clear text.
    "InitiatorConfig": {"c_i", "credential"},
    "ResponderConfig": {"c_r", "credential"},
    "Message1": {"c_i"},
    # Certificates, public keys and names of them.
    "Own": {"id_cred", "compact", "cred"},
    "Claim": {"id_cred", "cred"},
    "Credential": {"cred"},
    "Kccs": {"ccs"},
    "Kid": {"value"},
    "X5T": {"digest"},
    "X5Chain": {"certificates"},
    "CredentialFound": {"credential"},
    "Facts": {"c_i", "c_r", "own", "peer", "th_4"},
    "MobileCalling": {"unit"},
    "CardEnrolling": {"central"},
    "CentralEnrolling": {"customer"},
}
"""What may be read by everyone; whoever adds a field of octets hides it, or says so here."""


def classes() -> Iterator[type]:
    """All dataclasses of the channel."""
    for module in pkgutil.walk_packages(channel.__path__, f"{channel.__name__}."):
        for each in vars(importlib.import_module(module.name)).values():
            if isinstance(each, type) and is_dataclass(each) and each.__module__ == module.name:
                yield each


def octets_in(field: Field[object]) -> object:
    """A value with octets, if such a field may hold any."""
    return HELD.get(re.sub(r" \| None$", "", str(field.type)))


WITH_OCTETS = [each for each in classes() if any(map(octets_in, fields(each)))]


@pytest.mark.parametrize("kind", WITH_OCTETS, ids=lambda kind: kind.__name__)
def test_octets_are_shown_only_where_everyone_may_read_them(kind: type):
    shown = set()
    for asked in fields(kind):
        made = object.__new__(kind)
        for each in fields(kind):
            object.__setattr__(made, each.name, octets_in(each) if each is asked else None)
        if OCTETS.decode() in repr(made):
            shown.add(asked.name)
    assert shown == SHOWN.get(kind.__name__, set())


def test_there_are_such_classes():
    names = [kind.__name__ for kind in WITH_OCTETS]
    assert len(names) == len(set(names)), "a name says which class is meant"
    assert SHOWN.keys() <= set(names)
