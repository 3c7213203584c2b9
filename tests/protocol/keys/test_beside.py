"""Key memory with a token beside it: each secret is used where it lies, and what comes of it stays there (A8)."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from world import memory

from insitu.protocol.engine import KeyKind, Prove, SecretUsage
from insitu.protocol.keys.beside import KeysBeside
from insitu.protocol.keys.port import KeyMissing, KeyStore
from insitu.protocol.keys.vault import MemoryVault

TAN = b"2718281828459045"
IDENTITIES = b"a", b"b"


@pytest.fixture
def own() -> MemoryVault:
    return memory("own")


@pytest.fixture
def token() -> MemoryVault:
    return memory("token")


@pytest.fixture
def both(own: MemoryVault, token: MemoryVault) -> KeysBeside:
    return KeysBeside(own, token)


def test_it_is_all_of_a_key_store():
    wanted = {name for name, _ in inspect.getmembers(KeyStore) if not name.startswith("_")}
    assert wanted == {name for name, _ in inspect.getmembers(KeysBeside) if not name.startswith("_")}


def test_a_key_of_the_token_is_used_there(both: KeysBeside, own: MemoryVault, token: MemoryVault):
    key = token.storage.share("SN-1", b"k" * 32)
    assert both.use(key, Prove(b"said")) == token.use(key, Prove(b"said"))
    with pytest.raises(KeyMissing):
        own.use(key, Prove(b"said"))


def test_one_of_the_same_name_and_another_value_is_used_where_it_lies(
    both: KeysBeside, own: MemoryVault, token: MemoryVault
):
    ours, theirs = own.storage.share("x", b"o" * 32), token.storage.share("x", b"t" * 32)
    assert both.use(ours, Prove(b"said")) == own.use(ours, Prove(b"said"))
    assert both.use(theirs, Prove(b"said")) == token.use(theirs, Prove(b"said"))


@pytest.mark.parametrize("in_token", [True, False])
def test_what_comes_of_an_exchange_stays_where_the_password_is(
    both: KeysBeside, own: MemoryVault, token: MemoryVault, in_token
):
    other = memory("other")
    where, elsewhere = (token, own) if in_token else (own, token)
    password = where.storage.share_password("SN-1", TAN)
    share = both.start_pake("agreed", password, IDENTITIES, begins=True)
    answer = other.start_pake("agreed", other.storage.share_password("x", TAN), IDENTITIES, begins=False)
    key, same = both.finish_pake("agreed", answer), other.finish_pake("agreed", share)
    assert key.usage is SecretUsage.PROOF
    assert both.use(key, Prove(b"said")) == other.use(same, Prove(b"said"))
    assert where.find_secret("agreed") == key
    assert elsewhere.labels() == frozenset()


def test_pairs_are_made_and_found_at_home(both: KeysBeside, own: MemoryVault, token: MemoryVault):
    token.storage.share("SN-1", b"k" * 32)
    pair = both.generate("session", KeyKind.P256, b"")
    assert both.find("session") == own.find("session") == pair
    assert both.labels() == {"session"}
    assert both.sign(pair, b"said") == own.sign(pair, b"said")
    gone: list[Callable[[], object]] = [lambda: both.destroy("SN-1"), lambda: own.destroy("SN-1")]
    for destroy in gone:
        with pytest.raises(KeyMissing):
            destroy()
    both.destroy("session")
    assert own.labels() == frozenset()
    assert token.labels() == {"SN-1"}
    assert both.answers_at_once
