"""What the engine says about keys: public halves and labels, by value."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from insitu.protocol.engine import KeyHandle, KeyKind, PublicKey


def test_kinds_have_the_stable_names_that_files_use():
    assert {kind.name: kind.value for kind in KeyKind} == {
        "P256": "P-256",
        "P384": "P-384",
        "ED25519": "Ed25519",
        "X25519": "X25519",
    }


def test_handle_is_a_value():
    key = KeyHandle("identity", PublicKey(KeyKind.ED25519, bytes(32)))
    assert key == KeyHandle("identity", PublicKey(KeyKind.ED25519, bytes(32)))
    assert key != KeyHandle("identity", PublicKey(KeyKind.X25519, bytes(32)))
    assert len({key, KeyHandle("identity", PublicKey(KeyKind.ED25519, bytes(32)))}) == 1
    with pytest.raises(FrozenInstanceError):
        key.label = "other"
