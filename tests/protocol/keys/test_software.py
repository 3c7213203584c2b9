from __future__ import annotations

import copy
import os
import pickle
import random

import pytest

from insitu.protocol.engine import EnvironmentFault, KeyKind, UsageError
from insitu.protocol.keys.port import KeyExists, KeyMissing, KeyStoreError
from insitu.protocol.keys.software import SoftwareKeyStore


def seeded(seed: int, *, repeatable: bool = True) -> SoftwareKeyStore:
    return SoftwareKeyStore(random.Random(seed).randbytes, repeatable=repeatable)


@pytest.mark.parametrize("kind", [KeyKind.P256, KeyKind.P384, KeyKind.ED25519])
def test_equal_inputs_replay(kind):
    one, other = seeded(1), seeded(1)
    handle = one.generate("label", kind, b"salt")
    assert other.generate("label", kind, b"salt") == handle
    assert one.sign(handle, b"message") == other.sign(handle, b"message")


def test_signatures_as_in_rfc_6979():
    """RFC 6979 A.2.5: P-256, SHA-256, message "sample"."""
    store = seeded(1)
    private = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
    handle = store.restore_sealed("label", KeyKind.P256, private)
    assert store.sign(handle, b"sample").hex() == (
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
    )


def test_signatures_are_random_unless_asked_for():
    store = seeded(1, repeatable=False)
    handle = store.generate("label", KeyKind.P256, b"")
    assert store.sign(handle, b"message") != store.sign(handle, b"message")


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_keys_are_not_duplicated(duplicate):
    store = seeded(1)
    store.generate("label", KeyKind.P256, b"")
    with pytest.raises(UsageError, match="not pickled or copied"):
        duplicate(store)


@pytest.mark.parametrize("kind", KeyKind)
def test_nothing_private_shows(kind):
    store = seeded(1)
    store.generate("label", kind, b"")
    private = store.private_bytes_for_sealing("label")
    shown = f"{store!r} {store!s} {vars(store)}"
    for form in (private.hex(), repr(private)[2:-1], str(int.from_bytes(private, "big"))):
        assert form not in shown


@pytest.mark.parametrize("kind", KeyKind)
def test_sealing_and_restoring(kind):
    store, other = seeded(1), seeded(2)
    handle = store.generate("label", kind, b"")
    assert other.restore_sealed("label", kind, store.private_bytes_for_sealing("label")) == handle
    with pytest.raises(KeyExists):
        other.restore_sealed("label", kind, store.private_bytes_for_sealing("label"))
    with pytest.raises(KeyMissing):
        store.private_bytes_for_sealing("other")


@pytest.mark.parametrize(
    ("kind", "private"),
    [
        (KeyKind.P256, bytes(32)),
        (KeyKind.P256, b"\xff" * 32),
        (KeyKind.P256, b"\x01" * 31),
        (KeyKind.P384, b"\x01" * 32),
        (KeyKind.ED25519, bytes(31)),
        (KeyKind.X25519, b""),
    ],
)
def test_what_is_no_private_key_is_not_restored(kind, private):
    store = seeded(1)
    with pytest.raises(KeyStoreError, match="sealed key 'label'"):
        store.restore_sealed("label", kind, private)
    assert store.labels() == frozenset()


def test_an_entropy_source_that_runs_dry_makes_no_key():
    store = SoftwareKeyStore(lambda size: os.urandom(size - 1))
    with pytest.raises(EnvironmentFault, match="entropy source"):
        store.generate("label", KeyKind.P256, b"salt")
    assert store.labels() == frozenset()
