"""Effects are plain data: they compare, cannot be changed, and keep secrets to themselves."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, get_args

import pytest

from insitu.protocol.engine import (
    Agree,
    Close,
    Cmac,
    Consult,
    Effect,
    EncipherPin,
    Fault,
    FinishPake,
    Forward,
    GenerateKey,
    KeyHandle,
    KeyKind,
    KeyOperation,
    LookUp,
    Persist,
    PublicKey,
    RetailMac,
    RewrapKey,
    SecretAlgorithm,
    SecretHandle,
    SecretUsage,
    Send,
    Show,
    Sign,
    StartPake,
    StartTimer,
    StopTimer,
    UnwrapKey,
    UsageError,
    UseSecret,
)

SECRET = "correct horse 4711"
PUBLIC = PublicKey(KeyKind.X25519, bytes(32))
KEY = KeyHandle("identity", PUBLIC)
SECRET_KEY = SecretHandle("secret-1", SecretUsage.MAC, SecretAlgorithm.AES, 128, "KCV(CMAC)=0011223344")


class Sealed:
    """A message that answers for its own repr, as all messages must."""

    def __repr__(self) -> str:
        return "Sealed()"


EXAMPLES: list[Any] = [
    Send(Sealed()),
    Close(Fault.UNTRUSTED, "a reason"),
    Persist(SECRET, frozenset({"identity"})),
    StartTimer("peer", 30.0),
    StopTimer("peer"),
    Show(Sealed()),
    Forward(SECRET),
    LookUp("tan", SECRET),
    Consult(Sealed()),
    GenerateKey("operating", KeyKind.P256, bytes(32)),
    Sign(KEY, SECRET.encode()),
    Agree(KEY, PUBLIC),
    UnwrapKey("secret-1", SECRET.encode(), SECRET),
    RewrapKey(SECRET, SECRET.encode()),
    StartPake("exchange", SECRET_KEY, begins=True, identities=(SECRET.encode(), b"")),
    FinishPake("exchange", SECRET.encode()),
    UseSecret(SECRET_KEY, Cmac(SECRET.encode())),
    UseSecret(SECRET_KEY, RetailMac(SECRET.encode())),
    UseSecret(SECRET_KEY, EncipherPin(SECRET, SECRET)),
]


def test_the_examples_below_leave_no_effect_out():
    assert {type(example) for example in EXAMPLES} == set(get_args(Effect))
    assert set(get_args(KeyOperation)) == {
        *(GenerateKey, Sign, Agree, UnwrapKey, RewrapKey),
        *(UseSecret, StartPake, FinishPake),
    }


@pytest.mark.parametrize("operation", [Cmac(b"x"), RetailMac(b"x"), EncipherPin("1234", "4111111111111111")], ids=repr)
def test_what_is_done_with_a_symmetric_key_is_neither_pickled_nor_copied(operation: Any):
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(UsageError):
            copied(operation)


@pytest.mark.parametrize("effect", EXAMPLES, ids=lambda effect: type(effect).__name__)
def test_effect_cannot_be_changed_or_extended(effect: Any):
    assert is_dataclass(effect)
    with pytest.raises(FrozenInstanceError):
        setattr(effect, fields(effect)[0].name, None)
    assert not hasattr(effect, "__dict__")


@pytest.mark.parametrize("effect", EXAMPLES, ids=lambda effect: type(effect).__name__)
def test_effect_never_shows_a_secret(effect: Any):
    assert SECRET not in repr(effect)
    assert SECRET.encode().hex() not in repr(effect)


def test_effects_compare_by_value_also_in_what_they_do_not_show():
    assert Persist(1, frozenset()) != Persist(2, frozenset())
    assert LookUp("tan", 1) != LookUp("tan", 2)
    assert Sign(KEY, b"1") == Sign(KeyHandle("identity", PUBLIC), b"1")
    assert Sign(KEY, b"1") != Sign(KEY, b"2")


def test_close_is_in_good_order_unless_a_fault_is_named():
    assert Close() == Close(None, "")
