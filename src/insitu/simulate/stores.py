"""Where modules keep their durable state in a simulated world: in memory, or in a sealed file on a disk that fails.

Both are vaults of the product. What is added is what no vault can know: whether there is power, which writes were
acknowledged, and, when a store is opened again, whether what is in it is what was promised.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from ..protocol.engine import KeyHandle, given
from ..protocol.keys.software import SoftwareKeyStore
from ..protocol.keys.vault import MemoryVault, SealedVault, Vault
from ..protocol.stores.atomic import ErasureFailed, StoreFailed, StoreUncertain
from ..protocol.stores.counter import FileCounter
from ..protocol.stores.sealed import Cost, StoreKind
from ..protocol.stores.secret import Secret
from .chance import Chance
from .disk import CrashDisk
from .machine import Machine
from .plan import Trouble
from .power import PowerCut

STORE: Final = Path("/store/module")
COUNTER: Final = Path("/token/count")
PASSPHRASE: Final = Secret(b"correct horse battery staple")
CALLS: Final = 15
"""Calls of a disk that one write of a store takes, about."""

Written = Callable[[bytes, Vault], None]


class Store(ABC):
    """The durable state of one module.

    Args:
        machine: on which it lies.
        written: told of each record that is durable from now on, and the vault.
        name: among those of this machine.

    Attributes:
        promised: the record that was last acknowledged.
        spared: nothing goes wrong with it, as on the maker's bench.
        absent_until: until when somebody has taken it away; seconds of trio's clock.

    """

    def __init__(self, machine: Machine, written: Written, name: str = "store") -> None:
        self.machine = machine
        self.chance: Chance = machine.chance.of(name)
        self.promised: bytes | None = None
        self.spared = True
        self.absent_until = 0.0
        self._begun: bytes | None = None
        self._written = written

    @property
    @abstractmethod
    def can_lie(self) -> bool:
        """Whether its disk says that it has done what it has not."""

    @abstractmethod
    def _opened(self) -> Vault:
        """What is found after whatever happened."""

    def open(self) -> Vault:
        """The vault, as the module's program finds it when it starts.

        Raises:
            EnvironmentFault: the store is damaged or gone, which only a disk that lies may lead to.

        """
        vault = self._opened()
        found, begun = vault.record, self._begun
        self._begun = None
        if found != self.promised:
            if found == begun and found is not None:
                self._acknowledge(found, vault)
            else:
                self.machine.world.see_other_store(self.machine.name, may_be=self.can_lie)
                self.promised = found
        return vault

    def begin(self, record: bytes) -> None:
        """A write begins."""
        if not self.spared:
            self.machine.check_power()
            self.check_present()
        self._begun = record

    def check_present(self) -> None:
        """Make sure that nobody has taken it away.

        Raises:
            StoreFailed: somebody has.

        """
        if self.absent_until > trio.current_time() and not self.machine.world.calm:
            raise StoreFailed("the card is not there", who="store", got="a simulated removal")

    def done(self, vault: Vault) -> None:
        """It is durable."""
        if self._begun is not None:
            record, self._begun = self._begun, None
            self._acknowledge(record, vault)

    def _acknowledge(self, record: bytes, vault: Vault) -> None:
        self.promised = record
        self._written(record, vault)

    def befalls(self, trouble: Trouble, times: float = 1.0) -> bool:
        """Whether this goes wrong now."""
        return not self.spared and self.machine.world.befalls(trouble, self.chance, self.machine.name, times)


# In memory ---------------------------------------------------------------------------------------------------


class InMemory(Store):
    """A vault in memory, which outlives its machine."""

    def __init__(self, machine: Machine, written: Written, name: str = "store") -> None:
        super().__init__(machine, written, name)
        self._vault = _WatchedMemory(self)

    def copy(self, other: InMemory) -> None:
        """Take what lies in the other one, keys and all, as whoever copies a file does."""
        theirs, ours = other._vault.storage, self._vault.storage
        assert isinstance(theirs, SoftwareKeyStore)  # noqa: S101 - as all vaults in memory have
        assert isinstance(ours, SoftwareKeyStore)  # noqa: S101
        for label in other._vault.durable:
            pair, secret = theirs.find(label), theirs.find_secret(label)
            if pair is not None:
                ours.restore_sealed(label, pair.public.kind, theirs.private_bytes_for_sealing(label))
            elif secret is not None:
                key = theirs.secret_bytes_for_sealing(label)
                ours.restore_sealed_secret(label, secret.usage, secret.algorithm, key)
        self._vault.commit(given(other._vault.record), other._vault.durable)

    @property
    def can_lie(self) -> bool:
        """Never."""
        return False

    def _opened(self) -> Vault:
        self._vault.roll_back()
        return self._vault


class _WatchedMemory(MemoryVault):
    def __init__(self, store: Store) -> None:
        super().__init__(store.chance.of("keys").draw, repeatable=True)
        self._store = store

    def commit(self, record: bytes, keep: frozenset[str]) -> None:
        """See Vault; power may go before and after the write, and the write may fail in each way that it can."""
        store, who = self._store, self._store.machine
        store.begin(record)
        if store.befalls(Trouble.WRITE_ERROR):
            self._fail(record, keep)
        cut = store.befalls(Trouble.POWER_CUT)
        if not cut or store.chance.happens(0.5):
            super().commit(record, keep)
        if cut:
            who.lose_power()
            raise PowerCut
        store.done(self)

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore."""
        self._store.check_present()
        return super().sign(key, message)

    def _fail(self, record: bytes, keep: frozenset[str]) -> None:
        store = self._store
        match store.chance.whole(0, 3):
            case 0:
                super().commit(record, keep)
                store.done(self)
                raise ErasureFailed("old content is not overwritten", who="store", got="a simulated failure")
            case 1:
                if store.chance.happens(0.5):
                    super().commit(record, keep)
                raise StoreUncertain("store may or may not have been written", who="store", got="a simulated failure")
            case _:
                raise StoreFailed("store cannot be written", who="store", got="a simulated failure")


# In a file ---------------------------------------------------------------------------------------------------


class InFile(Store):
    """A sealed file on a disk of its own, perhaps with a monotonic counter on another medium.

    Attributes:
        counter: the counter; None: there is none.

    """

    def __init__(self, machine: Machine, written: Written, *, guarded: bool) -> None:
        super().__init__(machine, written)
        plan = machine.world.plan
        self._disk = CrashDisk()
        self._token = CrashDisk()
        self._past: set[bytes] = set()
        self._copy: CrashDisk | None = None
        self._lies = self.chance.happens(plan.of(Trouble.LOST_WRITE))
        self._strays = self.chance.happens(plan.of(Trouble.STRAY_WRITE))
        self._entropy = self.chance.of("keys").draw
        self.counter: FileCounter | None = None
        self._prepare()
        about = {"entropy": self._entropy, "files": self._disk}
        SealedVault.create(STORE, StoreKind.MODULE, PASSPHRASE, cost=Cost(n=2, r=1), repeatable=True, **about).close()  # type: ignore[arg-type]
        if guarded:
            self.counter = FileCounter.create(COUNTER, files=self._token)

    @property
    def can_lie(self) -> bool:
        """Whether its disk loses or misdirects writes, or somebody put an old copy back."""
        return self._lies or self._strays or self._copy is not None

    def _prepare(self) -> None:
        self._disk.before_call = self._token.before_call = self._before_call
        self._disk.lies = lambda _, name: self._lies and self.befalls(Trouble.LOST_WRITE, times=0.1)
        self._disk.strays = lambda _: self._strays and self.befalls(Trouble.STRAY_WRITE, times=0.1)

    def _before_call(self, number: int, name: str) -> None:
        if self.befalls(Trouble.POWER_CUT, times=1 / CALLS):
            self.machine.lose_power(killed=self.chance.happens(0.3))
            raise PowerCut
        if self.befalls(Trouble.WRITE_ERROR, times=1 / CALLS):
            raise OSError(self.chance.one_of((errno.EIO, errno.ENOSPC)), "a simulated failure")

    def _opened(self) -> Vault:
        if self._disk.broken and self.machine.killed:
            for disk in (self._disk, self._token):
                disk.broken = False
                disk.locks.clear()
        elif self._disk.broken:
            after = self.chance.whole(0, 1 << 30)
            self._disk, self._token = self._disk.survivors(after), self._token.survivors(after)
            self._prepare()
        if self.counter is not None:
            self.counter = FileCounter(COUNTER, self._token)
        self.machine.at_power_cut(self._lose_power)
        vault = _WatchedFile.open(
            STORE, StoreKind.MODULE, PASSPHRASE, entropy=self._entropy, repeatable=True, files=self._disk
        )
        assert isinstance(vault, _WatchedFile)  # noqa: S101 - open makes one of the class that it is called on
        vault.store = self
        return vault

    def _lose_power(self) -> None:
        self._disk.broken = self._token.broken = True

    def take_copy(self) -> None:
        """Somebody copies the store as it is."""
        self._copy = self._disk.survivors(1)

    def put_back(self) -> bool:
        """Somebody puts his copy back while the machine is off; whether he has one."""
        if self._copy is None:
            return False
        self._disk, self._token = self._copy.survivors(1), self._token.survivors(1)
        self._prepare()
        return True

    def replace_counter(self, generation: int) -> None:
        """An operator puts another counter in the place of one that does not agree with the store: one that works."""
        self._token = CrashDisk()
        self.counter = FileCounter.create(COUNTER, generation, files=self._token)
        self._prepare()

    def check_medium(self) -> None:
        """After a write: nothing that was replaced is still on the medium (S3)."""
        disk = self._disk
        now = disk.names[STORE].kept
        named = {id(content) for names in (disk.names, disk.kept_names) for content in names.values()}
        disk.contents = [each for each in disk.contents if id(each) in named or each.kept.strip(b"\0")]
        disk.calls.clear()
        disk.written.clear()
        left = {each.kept for each in disk.contents} & self._past - {now}
        if left and not self.can_lie:
            self.machine.world.see_remains(self.machine.name)
        self._past = {now, *left}


class _WatchedFile(SealedVault):
    store: InFile

    def commit(self, record: bytes, keep: frozenset[str]) -> None:
        """See Vault; the disk fails by itself."""
        self.store.begin(record)
        try:
            super().commit(record, keep)
        except ErasureFailed:
            self.store.done(self)
            raise
        self.store.done(self)
        self.store.check_medium()
