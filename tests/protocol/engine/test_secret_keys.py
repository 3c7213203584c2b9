"""What is said about symmetric keys: plain data that keep secrets to themselves."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest

from insitu.protocol.engine import (
    Cmac,
    DeriveKeys,
    EncipherPin,
    KeyRewrapped,
    PinFormat,
    Prove,
    ProveDerived,
    RetailMac,
    RewrapKey,
    SecretAlgorithm,
    SecretHandle,
    SecretUsage,
    SecretUsed,
    UnwrapKey,
    UsageError,
    UseSecret,
    is_legacy,
)

SECRET = "4711081547110815"
HANDLE = SecretHandle("secret-1", SecretUsage.MAC, SecretAlgorithm.AES, 128, "KCV(CMAC)=1A2B3C4D5E")
OPERATIONS: list[Any] = [
    Cmac(SECRET.encode()),
    RetailMac(SECRET.encode()),
    EncipherPin(SECRET[:8], SECRET),
    Prove(SECRET.encode()),
    DeriveKeys((SECRET.encode(),)),
    ProveDerived(b"", SECRET.encode()),
]
SECRETIVE: list[Any] = [
    *OPERATIONS,
    UnwrapKey("secret-1", SECRET.encode(), SECRET),
    RewrapKey(SECRET, SECRET.encode()),
    UseSecret(HANDLE, OPERATIONS[0]),
    UseSecret(HANDLE, ProveDerived(SECRET.encode(), b"")),  # nothing of what is done with a key, be it secret or not
    KeyRewrapped(SECRET),
    SecretUsed(SECRET.encode()),
]


@pytest.mark.parametrize("each", SECRETIVE, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("escape", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda escape: escape.__name__)
def test_a_secret_shows_nowhere_and_is_neither_pickled_nor_copied(each: Any, escape: Any):
    with pytest.raises(UsageError, match="neither pickled nor copied") as caught:
        escape(each)
    for shown in (str(caught.value), repr(each), str(each), f"{each}"):
        assert SECRET[:8] not in shown
        assert SECRET.encode().hex() not in shown
    assert not hasattr(each, "__dict__")


def test_a_handle_is_public():
    assert pickle.loads(pickle.dumps(HANDLE)) == HANDLE
    assert "KCV(CMAC)=1A2B3C4D5E" in repr(HANDLE)


def test_a_format_has_the_number_that_its_blocks_begin_with():
    """ISO 9564-1: the first half of the first byte of the plain block."""
    assert {each.name: each.value for each in PinFormat} == {"ISO_0": 0, "ISO_3": 3, "ISO_4": 4}


def test_the_usual_forms_are_those_of_the_standards():
    """ANSI X9.19 pads by method 1; AES has one PIN block only."""
    assert RetailMac(b"x") == RetailMac(b"x", padding=1)
    assert EncipherPin("1", "2") == EncipherPin("1", "2", PinFormat.ISO_4)


@pytest.mark.parametrize(
    ("what", "legacy"),
    [
        (HANDLE, False),
        (replace(HANDLE, usage=SecretUsage.PIN), False),
        (replace(HANDLE, algorithm=SecretAlgorithm.TDES), True),
        (Cmac(b""), False),
        (RetailMac(b""), True),
        (EncipherPin("", ""), False),
        (EncipherPin("", "", PinFormat.ISO_4), False),
        (EncipherPin("", "", PinFormat.ISO_0), True),
        (EncipherPin("", "", PinFormat.ISO_3), True),
    ],
)
def test_what_explicit_policy_must_admit(what: Any, legacy: bool):
    assert is_legacy(what) is legacy
