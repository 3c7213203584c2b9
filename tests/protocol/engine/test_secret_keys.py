"""What is said about symmetric keys: plain data that keep secrets to themselves."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest

from insitu.protocol.engine import (
    Cmac,
    EncipherPin,
    KeyRewrapped,
    PinFormat,
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
]
SECRETIVE: list[Any] = [
    *OPERATIONS,
    UnwrapKey("secret-1", SECRET.encode(), SECRET),
    RewrapKey(SECRET, SECRET.encode()),
    UseSecret(HANDLE, OPERATIONS[0]),
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
