from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule
from key_block_reference import KBPK

from insitu.conformance import DurableVaultConformance, VaultConformance
from insitu.protocol.engine import InsituError, KeyHandle, KeyKind, SecretAlgorithm, SecretUsage, UsageError
from insitu.protocol.keys.keyblock import write_block
from insitu.protocol.keys.port import KeyMissing
from insitu.protocol.keys.public import signature_holds
from insitu.protocol.keys.vault import MemoryVault, SealedVault, Vault
from insitu.protocol.messages.codec import encode
from insitu.protocol.stores.atomic import ErasureFailed, StoreFailed, StoreUncertain
from insitu.protocol.stores.sealed import Cost, SealedFile, StoreDamaged, StoreKind, WrongPassphrase
from insitu.protocol.stores.secret import Secret
from insitu.simulate.disk import CrashDisk, PowerCut

PATH = Path("/store/module")
PASSPHRASE = Secret(b"correct horse")
ENTROPY = random.Random(7).randbytes


def create(disk: CrashDisk) -> SealedVault:
    return SealedVault.create(
        PATH, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY, cost=Cost(n=2), repeatable=True, files=disk
    )


def reopen(disk: CrashDisk) -> SealedVault:
    return SealedVault.open(PATH, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY, repeatable=True, files=disk)


def works(vault: Vault, handle: KeyHandle) -> bool:
    return signature_holds(handle.public, b"message", vault.sign(handle, b"message"))


@pytest.fixture(params=["memory", "sealed"])
def vault(request) -> Vault:
    return MemoryVault(ENTROPY) if request.param == "memory" else create(CrashDisk())


# Rules of every vault -----------------------------------------------------------------------------------------


class TestMemoryVault(VaultConformance):
    @pytest.fixture
    def vault(self) -> Vault:
        return MemoryVault(ENTROPY)


class TestSealedVault(DurableVaultConformance):
    @pytest.fixture
    def disk(self) -> CrashDisk:
        return CrashDisk()

    @pytest.fixture
    def vault(self, disk) -> Vault:
        return create(disk)

    @pytest.fixture
    def reopen(self, disk) -> Callable[[], Vault]:
        return lambda: reopen(disk)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_vault_is_not_duplicated(vault, duplicate):
    with pytest.raises(UsageError, match="not pickled or copied"):
        duplicate(vault)


def test_nothing_private_shows(vault):
    vault.generate("label", KeyKind.P256, b"")
    vault.commit(b"the record", frozenset({"label"}))
    private = vault._keys.private_bytes_for_sealing("label")
    shown = f"{vault!r} {vars(vault)}"
    assert private.hex() not in shown
    assert str(int.from_bytes(private, "big")) not in shown
    assert "record" not in repr(vault)


# The sealed file ----------------------------------------------------------------------------------------------


def test_what_was_committed_is_there_after_reopening():
    disk = CrashDisk()
    vault = create(disk)
    handles = {kind: vault.generate(kind.value, kind, b"salt") for kind in KeyKind}
    vault.commit(b"record", vault.labels())
    vault.generate("never committed", KeyKind.P256, b"")
    vault.close()
    with reopen(disk) as again:
        assert again.record == b"record"
        assert again.labels() == {kind.value for kind in KeyKind}
        for kind, handle in handles.items():
            assert again.find(kind.value) == handle
        assert works(again, handles[KeyKind.P256])


def test_real_files(tmp_path):
    path = tmp_path / "module.store"
    cost = Cost(n=2)
    with SealedVault.create(path, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY, cost=cost) as vault:
        old = vault.generate("old", KeyKind.P256, b"")
        vault.commit(b"record", frozenset({"old"}))
        scalar = vault._keys.private_bytes_for_sealing("old")
    assert scalar not in path.read_bytes()
    with path.open("rb") as old_content:
        with SealedVault.open(path, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY) as vault:
            assert works(vault, old)
            new = vault.generate("new", KeyKind.P256, b"")
            vault.commit(b"after the reset", frozenset({"new"}))
        assert set(old_content.read()) == {0}, "a destroyed pair is overwritten where it lay (S3)"
    with SealedVault.open(path, StoreKind.MODULE, PASSPHRASE, entropy=ENTROPY) as vault:
        assert (vault.record, vault.labels()) == (b"after the reset", {"new"})
        assert works(vault, new)
    assert {each.name for each in tmp_path.iterdir()} == {"module.store", "module.store.lock"}


def test_a_closed_vault_holds_nothing_and_writes_nothing():
    vault = create(CrashDisk())
    handle = vault.generate("label", KeyKind.P256, b"")
    vault.commit(b"record", frozenset({"label"}))
    vault.close()
    with pytest.raises(KeyMissing):
        vault.sign(handle, b"")
    with pytest.raises(StoreFailed, match="closed"):
        vault.commit(b"late", frozenset())
    vault.close()


def test_a_wrong_passphrase_opens_nothing():
    disk = CrashDisk()
    create(disk).close()
    with pytest.raises(WrongPassphrase):
        SealedVault.open(PATH, StoreKind.MODULE, Secret(b"wrong"), entropy=ENTROPY, files=disk)
    reopen(disk).close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        encode([]),
        encode({1: None}),
        encode({1: 7, 2: {}}),
        encode({1: None, 2: {"label": ["P-256"]}}),
        encode({1: None, 2: {"label": ["P-521", bytes(32)]}}),
        encode({1: None, 2: {7: ["P-256", bytes(32)]}}),
    ],
)
def test_a_sealed_file_that_is_no_vault(content):
    disk = CrashDisk()
    SealedFile.create(PATH, StoreKind.MODULE, PASSPHRASE, content, entropy=ENTROPY, cost=Cost(n=2), files=disk).close()
    for _ in range(2):  # the first failure has let go of the lock
        with pytest.raises(StoreDamaged, match="does not contain a vault"):
            reopen(disk)


# Failures and power cuts --------------------------------------------------------------------------------------


def failing(name: str, number: int = 5) -> Callable[[int, str], None]:
    def fail(_: int, called: str) -> None:
        if called == name:
            raise OSError(number, "failed on purpose")

    return fail


def at_work(_: int, __: str) -> None:
    """The disk works."""


@pytest.mark.parametrize("name", ["create", "write", "sync", "link", "replace"])
def test_a_commit_that_fails_leaves_memory_and_disk_as_before(name):
    disk = CrashDisk()
    vault = create(disk)
    old = vault.generate("old", KeyKind.P256, b"")
    vault.commit(b"before", frozenset({"old"}))
    new = vault.generate("new", KeyKind.P256, b"")
    disk.before_call = failing(name)
    with pytest.raises(StoreFailed):
        vault.commit(b"after", frozenset({"new"}))
    with pytest.raises(StoreFailed):
        vault.destroy("old")
    disk.before_call = at_work
    assert vault.record == b"before"
    assert vault.labels() == {"old", "new"}
    assert works(vault, old)
    assert works(vault, new)
    with reopen(disk.survivors(1)) as found:
        assert (found.record, found.labels()) == (b"before", {"old"})
    vault.commit(b"after", frozenset({"new"}))
    with reopen(disk.survivors(0)) as found:
        assert (found.record, found.labels()) == (b"after", {"new"})


@pytest.mark.parametrize("act", ["commit", "destroy"])
def test_an_erasing_that_fails_is_reported_but_has_happened(act):
    disk = CrashDisk()
    vault = create(disk)
    old = vault.generate("old", KeyKind.P256, b"")
    vault.commit(b"before", frozenset({"old"}))
    disk.before_call = failing("reopen")
    with pytest.raises(ErasureFailed):
        vault.commit(b"before", frozenset()) if act == "commit" else vault.destroy("old")
    disk.before_call = at_work
    with pytest.raises(KeyMissing):
        vault.sign(old, b"")
    vault.commit(b"after", frozenset())
    with reopen(disk.survivors(0)) as found:
        assert (found.record, found.labels()) == (b"after", frozenset())


def test_after_an_uncertain_commit_only_reopening_tells():
    disk = CrashDisk()
    vault = create(disk)
    disk.before_call = failing("sync_directory")
    with pytest.raises(StoreUncertain):
        vault.commit(b"record", frozenset())
    disk.before_call = at_work
    with pytest.raises(StoreFailed, match="opened again"):
        vault.commit(b"other", frozenset())
    vault.close()
    with reopen(disk) as again:
        assert again.record == b"record"


def scenario(disk: CrashDisk, done: list[tuple[bytes | None, frozenset[str]]]) -> None:
    """Delivery, personalization, reset, second personalization; `done` grows by each durable state."""
    vault = create(disk)
    done.append((vault.record, vault.labels()))
    for record, made, keep in (
        (b"delivered", "identity", {"identity"}),
        (b"operating", "operating-0", {"identity", "operating-0"}),
        (b"reset", "", {"identity"}),
        (b"operating again", "operating-1", {"identity", "operating-1"}),
    ):
        if made:
            vault.generate(made, KeyKind.P256, b"")
        vault.commit(record, frozenset(keep))
        done.append((vault.record, vault.labels()))
    vault.destroy("operating-1")
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
            disk.before_call = cut_at(number)
            with pytest.raises(PowerCut):
                scenario(disk, done)
            after = disk.survivors(seed)
            if not done and PATH not in after.names:
                continue
            with reopen(after) as vault:
                found = vault.record, vault.labels()
                assert found in whole[max(len(done) - 1, 0) : len(done) + 1]
                for label in vault.labels():
                    handle = vault.find(label)
                    assert handle is not None
                    assert works(vault, handle)
                vault.commit(b"life goes on", vault.labels())
            assert list(after.survivors(0).names) == [PATH]


def cut_at(number: int) -> Callable[[int, str], None]:
    def cut(at: int, _: str) -> None:
        if at == number:
            raise PowerCut

    return cut


# Any order of calls -------------------------------------------------------------------------------------------

LABELS = st.sampled_from(["a", "b", "c", "d"])
BLOCK = write_block(KBPK, SecretUsage.MAC, SecretAlgorithm.AES, bytes(range(16)), ENTROPY)


class TwoVaults(RuleBasedStateMachine):
    """A sealed vault, reopened and cut at will, does as a memory vault does, and as a plain model says."""

    handles: Bundle[KeyHandle] = Bundle("handles")

    @initialize()
    def begin(self) -> None:
        self.disk = CrashDisk()
        self.sealed = create(self.disk)
        self.memory = MemoryVault(ENTROPY)
        self.record: bytes | None = None
        self.durable: frozenset[str] = frozenset()
        self.pending: frozenset[str] = frozenset()

    def both(self, act: Callable[[Vault], object]) -> None:
        outcomes = [self.outcome(act, vault) for vault in (self.sealed, self.memory)]
        assert outcomes[0] is outcomes[1]

    @staticmethod
    def outcome(act: Callable[[Vault], object], vault: Vault) -> object:
        try:
            act(vault)
        except InsituError as error:
            return type(error)
        return None

    @rule(label=LABELS)
    def generate(self, label: str) -> None:
        self.both(lambda vault: vault.generate(label, KeyKind.P256, b""))
        if label not in self.durable:
            self.pending |= {label}

    @rule(label=LABELS)
    def unwrap(self, label: str) -> None:
        self.both(lambda vault: vault.unwrap(label, KBPK, BLOCK))
        if label not in self.durable:
            self.pending |= {label}

    @rule(record=st.binary(max_size=3), keep=st.frozensets(LABELS))
    def commit(self, record: bytes, keep: frozenset[str]) -> None:
        self.both(lambda vault: vault.commit(record, keep))
        if keep <= self.durable | self.pending:
            self.record, self.durable, self.pending = record, keep, frozenset()

    @rule()
    def roll_back(self) -> None:
        self.both(lambda vault: vault.roll_back())
        self.pending = frozenset()

    @rule(label=LABELS)
    def destroy(self, label: str) -> None:
        self.both(lambda vault: vault.destroy(label))
        self.durable -= {label}
        self.pending -= {label}

    @precondition(lambda self: not self.pending)
    @rule(seed=st.integers(0, 3))
    def power_cut(self, seed: int) -> None:
        self.disk = self.disk.survivors(seed)
        self.sealed = reopen(self.disk)

    @rule()
    def close_and_reopen(self) -> None:
        self.sealed.close()
        self.sealed = reopen(self.disk)
        self.memory.close()
        self.pending = frozenset()

    @invariant()
    def they_agree(self) -> None:
        for vault in (self.sealed, self.memory):
            assert vault.record == self.record
            assert vault.labels() == self.durable | self.pending
            assert all((vault.find(each) is None) != (vault.find_secret(each) is None) for each in vault.labels())


TestTwoVaults = TwoVaults.TestCase
