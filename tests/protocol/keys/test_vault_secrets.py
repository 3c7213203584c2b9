"""Symmetric keys in a vault: the same rules as for pairs, in the same file, through every power cut."""

from __future__ import annotations

import copy
import pickle
import random
from pathlib import Path

import pytest
from key_block_reference import KBPK

from insitu.protocol.engine import Cmac, EncipherPin, KeyKind, SecretAlgorithm, SecretHandle, SecretUsage, UsageError
from insitu.protocol.keys.keyblock import write_block
from insitu.protocol.keys.methods import cmac
from insitu.protocol.keys.port import KeyExists, KeyMissing
from insitu.protocol.keys.software import STORAGE
from insitu.protocol.keys.vault import MemoryVault, SealedVault, Vault
from insitu.protocol.messages.codec import Item, encode
from insitu.protocol.stores.atomic import StoreFailed
from insitu.protocol.stores.sealed import Cost, SealedFile, StoreDamaged, StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.simulate.disk import CrashDisk, PowerCut

PATH = Path("/store/module")
PASSPHRASE = Secret(b"correct horse")
ENTROPY = random.Random(8).randbytes
AES = SecretAlgorithm.AES
KEYS = {label: random.Random(label).randbytes(16) for label in ("secret-1", "secret-2", "secret-3")}
BLOCKS = {label: write_block(KBPK, SecretUsage.MAC, AES, key, ENTROPY) for label, key in KEYS.items()}


def create(disk: CrashDisk) -> SealedVault:
    return SealedVault.create(PATH, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY, cost=Cost(n=2), files=disk)


def reopen(disk: CrashDisk) -> SealedVault:
    return SealedVault.open(PATH, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY, files=disk)


def load(vault: Vault, label: str) -> SecretHandle:
    return vault.unwrap(label, KBPK, BLOCKS[label])


def works(vault: Vault, label: str) -> bool:
    handle = vault.find_secret(label)
    return handle is not None and vault.use(handle, Cmac(b"data")) == cmac(KEYS[label], b"data")


@pytest.fixture(params=["memory", "sealed"])
def vault(request) -> Vault:
    return MemoryVault(ENTROPY) if request.param == "memory" else create(CrashDisk())


# Rules of every vault ------------------------------------------------------------------------------------------


def test_commit_keeps_what_it_names_and_destroys_the_rest(vault):
    vault.generate("pair", KeyKind.P256, b"")
    one, two = load(vault, "secret-1"), load(vault, "secret-2")
    vault.commit(b"record", frozenset({"pair", "secret-2"}))
    assert vault.labels() == {"pair", "secret-2"}
    assert works(vault, "secret-2")
    assert vault.find_secret("secret-2") == two
    with pytest.raises(KeyMissing):
        vault.use(one, Cmac(b""))


def test_roll_back_destroys_what_was_not_committed(vault):
    load(vault, "secret-1")
    vault.commit(b"record", frozenset({"secret-1"}))
    load(vault, "secret-2")
    vault.roll_back()
    assert vault.labels() == {"secret-1"}
    assert works(vault, "secret-1")
    load(vault, "secret-2")


def test_destroying(vault):
    for label in KEYS:
        load(vault, label)
    vault.commit(b"record", frozenset({"secret-1", "secret-2"}))
    load(vault, "secret-3")
    vault.destroy("secret-1")
    vault.destroy("secret-3")
    vault.roll_back()
    assert vault.labels() == {"secret-2"}
    assert vault.record == b"record"
    assert works(vault, "secret-2")


def test_a_label_is_taken_once(vault):
    load(vault, "secret-1")
    vault.commit(b"record", frozenset({"secret-1"}))
    with pytest.raises(KeyExists):
        vault.generate("secret-1", KeyKind.P256, b"")
    with pytest.raises(KeyExists):
        load(vault, "secret-1")
    assert works(vault, "secret-1")


def test_the_storage_key_lasts_if_a_commit_keeps_it(vault):
    vault.storage.make_storage_key()
    vault.roll_back()
    assert vault.labels() == frozenset()
    vault.storage.make_storage_key()
    vault.commit(b"record", frozenset({STORAGE}))
    stored, value = vault.storage.new_secret_block(SecretUsage.PIN, AES, 256)
    vault.roll_back()
    handle = vault.unwrap("pin", KBPK, vault.rewrap(stored, KBPK))
    assert handle.check_value == value
    assert len(vault.use(handle, EncipherPin("1234", "4111111111111111"))) == 16


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_nothing_secret_shows_or_is_copied(vault, duplicate):
    load(vault, "secret-1")
    vault.commit(b"record", frozenset({"secret-1"}))
    assert KEYS["secret-1"].hex() not in f"{vault!r} {vars(vault)} {vars(vault._keys)}"
    with pytest.raises(UsageError, match="not pickled or copied"):
        duplicate(vault)


# The sealed file -----------------------------------------------------------------------------------------------


def test_what_was_committed_is_there_after_reopening():
    disk = CrashDisk()
    vault = create(disk)
    vault.generate("pair", KeyKind.P256, b"")
    handle = load(vault, "secret-1")
    load(vault, "secret-2")
    vault.storage.make_storage_key()
    stored, _ = vault.storage.take_secret_block(BLOCKS["secret-3"], KBPK)
    vault.commit(b"record", frozenset({"pair", "secret-1", STORAGE}))
    vault.close()
    with pytest.raises(KeyMissing):
        vault.use(handle, Cmac(b""))
    with reopen(disk) as again:
        assert again.labels() == {"pair", "secret-1", STORAGE}
        assert again.find_secret("secret-1") == handle
        assert works(again, "secret-1")
        again.unwrap("secret-3", KBPK, again.rewrap(stored, KBPK))
        assert works(again, "secret-3")


def test_no_key_lies_open_and_a_destroyed_one_is_overwritten(tmp_path):
    path = tmp_path / "module.store"
    with SealedVault.create(path, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY, cost=Cost(n=2)) as vault:
        load(vault, "secret-1")
        vault.storage.make_storage_key()
        storage = vault.storage.secret_bytes_for_sealing(STORAGE)
        vault.commit(b"record", frozenset({"secret-1", STORAGE}))
        content = path.read_bytes()
        for key in (KEYS["secret-1"], storage):
            assert key not in content
            assert key.hex().encode() not in content.lower()
        with path.open("rb") as old:
            vault.commit(b"expired", frozenset({STORAGE}))
            assert set(old.read()) == {0}, "a destroyed key is overwritten where it lay (S3)"


def test_a_vault_from_before_there_were_symmetric_keys():
    disk = CrashDisk()
    content = encode({1: b"record", 2: {}})
    SealedFile.create(PATH, StoreKind.MODULE, PASSPHRASE, content, entropy=ENTROPY, cost=Cost(n=2), files=disk).close()
    with reopen(disk) as vault:
        assert (vault.record, vault.labels()) == (b"record", frozenset())
        load(vault, "secret-1")
        vault.commit(b"new", frozenset({"secret-1"}))
    with reopen(disk) as vault:
        assert works(vault, "secret-1")


NO_SECRETS: list[Item] = [
    None,
    [],
    {7: ["mac", "aes", bytes(range(16))]},
    {"label": ["mac", "aes"]},
    {"label": ["mac", "aes", "text"]},
    {"label": ["signing", "aes", bytes(range(16))]},
    {"label": ["mac", "des", bytes(range(16))]},
]


@pytest.mark.parametrize("secrets", NO_SECRETS)
def test_a_sealed_file_that_is_no_vault(secrets):
    disk = CrashDisk()
    content = encode({1: None, 2: {}, 3: secrets})
    SealedFile.create(PATH, StoreKind.MODULE, PASSPHRASE, content, entropy=ENTROPY, cost=Cost(n=2), files=disk).close()
    with pytest.raises(StoreDamaged, match="does not contain a vault"):
        reopen(disk)


def test_a_sealed_file_of_a_later_format():
    disk = CrashDisk()
    content = encode({1: None, 2: {}, 3: {}, 4: {}})
    SealedFile.create(PATH, StoreKind.MODULE, PASSPHRASE, content, entropy=ENTROPY, cost=Cost(n=2), files=disk).close()
    with pytest.raises(StoreDamaged, match="does not contain a vault"):
        reopen(disk)


# Failures and power cuts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["create", "write", "sync", "link", "replace"])
def test_a_commit_that_fails_leaves_memory_and_disk_as_before(name):
    disk = CrashDisk()
    vault = create(disk)
    load(vault, "secret-1")
    vault.commit(b"before", frozenset({"secret-1"}))
    load(vault, "secret-2")

    def fail(_: int, called: str) -> None:
        if called == name:
            raise OSError(28, "failed on purpose")

    disk.before_call = fail
    with pytest.raises(StoreFailed):
        vault.commit(b"after", frozenset({"secret-2"}))
    disk.before_call = lambda number, called: None
    assert vault.record == b"before"
    assert works(vault, "secret-1")
    assert works(vault, "secret-2")
    with reopen(disk.survivors(1)) as found:
        assert (found.record, found.labels()) == (b"before", {"secret-1"})
    vault.commit(b"after", frozenset({"secret-2"}))
    with reopen(disk.survivors(0)) as found:
        assert (found.record, found.labels()) == (b"after", {"secret-2"})
        assert works(found, "secret-2")


def scenario(disk: CrashDisk, done: list[tuple[bytes | None, frozenset[str]]]) -> None:
    """A key comes, is counted, is replaced, a second one comes, one expires, a reset; `done` grows with each state."""
    vault = create(disk)
    done.append((vault.record, vault.labels()))
    for record, loaded, keep in (
        (b"first", "secret-1", {"secret-1"}),
        (b"used once", "", {"secret-1"}),
        (b"replaced", "secret-2", {"secret-2"}),
        (b"two", "secret-3", {"secret-2", "secret-3"}),
        (b"expired", "", {"secret-3"}),
    ):
        if loaded:
            load(vault, loaded)
        vault.commit(record, frozenset(keep))
        done.append((vault.record, vault.labels()))
    vault.destroy("secret-3")
    done.append((vault.record, vault.labels()))
    vault.close()


def test_a_power_cut_at_any_call_of_a_life_leaves_one_of_two_neighbouring_states():
    whole: list[tuple[bytes | None, frozenset[str]]] = []
    disk = CrashDisk()
    scenario(disk, whole)
    for number in range(len(disk.calls)):
        for seed in (0, 1, 2, 3):
            done: list[tuple[bytes | None, frozenset[str]]] = []
            disk = CrashDisk()

            def cut(at: int, _: str, number: int = number) -> None:
                if at == number:
                    raise PowerCut

            disk.before_call = cut
            with pytest.raises(PowerCut):
                scenario(disk, done)
            after = disk.survivors(seed)
            if not done and PATH not in after.names:
                continue
            with reopen(after) as vault:
                assert (vault.record, vault.labels()) in whole[max(len(done) - 1, 0) : len(done) + 1]
                assert all(works(vault, label) for label in vault.labels())
                vault.commit(b"life goes on", vault.labels())
            assert list(after.survivors(0).names) == [PATH]
