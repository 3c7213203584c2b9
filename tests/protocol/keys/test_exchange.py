"""One side of SPAKE2 in key memory: agreement, what enters, what is refused, and that nothing shows."""

from __future__ import annotations

import sys

import pytest
from spake2 import SPAKE2_B
from world import Seeded, memory

from insitu.protocol.engine import ProtocolError, Prove, SecretUsage, UsageError
from insitu.protocol.keys.exchange import begin_exchange
from insitu.protocol.keys.port import KeyExists, KeyMismatch, KeyMissing, KeyRefused

IDENTITIES = (b"module", b"unit")
STATEMENT = Prove(b"statement")


def sides(one: bytes = b"the secret", other: bytes = b"the secret", identities=(IDENTITIES, IDENTITIES)) -> list[bytes]:
    """What both sides' keys make of one statement."""
    vaults = [memory("one"), memory("other")]
    shares = []
    for vault, password, about, begins in zip(vaults, (one, other), identities, (True, False), strict=True):
        shares.append(vault.start_pake("x", vault.storage.share_password("p", password), about, begins=begins))
    keys = [vault.finish_pake("x", share) for vault, share in zip(vaults, reversed(shares), strict=True)]
    assert {key.usage for key in keys} == {SecretUsage.PROOF}
    return [vault.use(key, STATEMENT) for vault, key in zip(vaults, keys, strict=True)]


def test_both_sides_get_the_same_key_from_the_same_secret():
    one, other = sides()
    assert one == other


@pytest.mark.parametrize(
    "about",
    [
        {"other": b"another secret"},
        {"identities": (IDENTITIES, (b"module", b"other unit"))},
        {"identities": (IDENTITIES, (b"other module", b"unit"))},
    ],
    ids=["secret", "B", "A"],
)
def test_whatever_enters_matters(about):
    one, other = sides(**about)
    assert one != other


def test_the_published_library_agrees_with_key_memory():
    vault = memory("one")
    share = vault.start_pake("x", vault.storage.share_password("p", b"the secret"), IDENTITIES, begins=True)
    peer = SPAKE2_B(b"the secret", idA=IDENTITIES[0], idB=IDENTITIES[1])
    theirs = peer.start()[1:]
    vault.finish_pake("x", theirs)
    assert vault._keys.secret_bytes_for_sealing("x") == peer.finish(b"A" + share)


def test_an_exchange_repeats_with_its_entropy_and_only_so():
    first, again, other = (
        begin_exchange(b"the secret", IDENTITIES, Seeded(seed), begins=True).share for seed in ("a", "a", "b")
    )
    assert first == again != other


@pytest.mark.parametrize("share", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)], ids=["order 4", "no point", "zero"])
def test_what_is_no_element_is_refused_and_ends_the_exchange(share):
    vault = memory("one")
    vault.start_pake("x", vault.storage.share_password("p", b"the secret"), IDENTITIES, begins=True)
    with pytest.raises(ProtocolError):
        vault.finish_pake("x", share)
    with pytest.raises(KeyMissing):
        vault.finish_pake("x", share)


def test_our_own_share_come_back_is_refused():
    vault = memory("one")
    share = vault.start_pake("x", vault.storage.share_password("p", b"the secret"), IDENTITIES, begins=True)
    with pytest.raises(ProtocolError):
        vault.finish_pake("x", share)


def test_an_exchange_outlasts_a_commit_and_no_roll_back():
    vault = memory("one")
    password = vault.storage.share_password("p", b"the secret")
    share = begin_exchange(b"the secret", IDENTITIES, Seeded("peer"), begins=False).share
    vault.start_pake("x", password, IDENTITIES, begins=True)
    vault.commit(b"record", frozenset())
    assert vault.labels() == frozenset()
    vault.finish_pake("x", share)
    vault.roll_back()
    vault.start_pake("y", vault.storage.share_password("p", b"the secret"), IDENTITIES, begins=True)
    vault.roll_back()
    with pytest.raises(KeyMissing):
        vault.finish_pake("y", share)


def test_keys_are_used_for_what_they_are():
    vault = memory("one")
    password = vault.storage.share_password("p", b"the secret")
    key = vault.storage.share("k", bytes(range(16)))
    with pytest.raises(KeyRefused):
        vault.start_pake("x", key, IDENTITIES, begins=True)
    with pytest.raises(KeyRefused):
        vault.use(password, STATEMENT)
    with pytest.raises(KeyExists):
        vault.storage.share_password("p", b"the secret")
    vault.start_pake("k", password, IDENTITIES, begins=True)
    with pytest.raises(KeyExists):
        vault.finish_pake("k", bytes(32))
    vault.destroy("p")
    with pytest.raises(KeyMissing):
        vault.start_pake("x", password, IDENTITIES, begins=True)
    vault.storage.share("p", bytes(range(16)))
    with pytest.raises(KeyMismatch):
        vault.start_pake("x", password, IDENTITIES, begins=True)


def test_the_handle_of_a_password_tells_nothing_of_it():
    vault = memory("one")
    handle = vault.storage.share_password("p", b"the secret")
    assert handle.check_value == ""
    assert handle.bits == 0
    exchange = begin_exchange(b"the secret", IDENTITIES, Seeded("a"), begins=True)
    assert "secret" not in repr((handle, exchange, vault))


def test_without_the_library_one_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "spake2", None)
    with pytest.raises(UsageError, match=r"insitu\[pake\]"):
        begin_exchange(b"the secret", IDENTITIES, Seeded("a"), begins=True)
