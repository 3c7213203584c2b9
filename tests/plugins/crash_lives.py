"""Whole lives of a party whose sealed store lies on a crash disk, and what must hold after a cut at any call.

A life is a script that drives the party by the shell's own classes. It runs once; at each call of the disk the disk is
copied, together with what had been committed and acknowledged by then. Since a cut destroys memory and nothing else,
each copy stands for a run that ended there: `survivors` of it, by seed, are the disks that may be found, and
`look_into` says whether one of them holds what was promised. `interrupted` runs a life with a real cut or failure
instead, for tests that go on living afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pump import Line, contact, meeting, sent_to_reset
from world import NOW, PINS, Seeded, World, private_bytes, restarted, wanted

from insitu.protocol.channel.trust import ModuleAtWork
from insitu.protocol.engine import Cmac, InsituError, KeyKind, SecretUsage
from insitu.protocol.keys.vault import SealedVault, Vault
from insitu.protocol.messages import (
    RECORD_LIMITS,
    CardRole,
    ModuleCondition,
    ModuleRecord,
    TrustOption,
    decode_record,
)
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.work_data import PayloadGiven, SecretWanted, TransactionSettled
from insitu.protocol.stores import sealed
from insitu.protocol.stores.atomic import ErasureFailed
from insitu.protocol.stores.counter import FileCounter
from insitu.protocol.stores.sealed import Cost, StoreKind, StoreMissing
from insitu.protocol.stores.secret import Secret
from insitu.shell.module import Module
from insitu.simulate.disk import CrashDisk, PowerCut

STORE = Path("/store/party")
COUNTER = Path("/token/count")
PASSPHRASE = Secret(b"correct horse battery staple")
SERIAL = "SN-disk"


@dataclass(frozen=True)
class Stand:
    """What a store holds: its record and the secret bytes of its keys by label."""

    record: bytes | None
    keys: Mapping[str, bytes]

    @classmethod
    def of(cls, vault: Vault) -> Stand:
        """What this vault holds."""
        return cls(vault.record, private_bytes(vault))

    @property
    def generation(self) -> int:
        """Of a module's record; 0 before the first."""
        return 0 if self.record is None else module_record(self.record).generation


@dataclass(frozen=True)
class Moment:
    """Right before one call of a disk.

    Attributes:
        step: of the life.
        call: what is about to be called.
        disk, token: copies of the disk with the store and of the one with the counter.
        promised: number of the last stand that was acknowledged; -1 before the store was made.
        begun: number of the last stand that was begun to be written.

    """

    step: str
    call: str
    disk: CrashDisk
    token: CrashDisk
    promised: int
    begun: int


@dataclass
class CrashLife:
    """One life.

    Attributes:
        kind: of the store.
        disk: where the store lies.
        token: another, protected medium, with the counter, where there is one.
        guarded: a counter is configured.
        stands: all that was ever begun to be written, in order.
        moments: every call of the disks, where `recording`.
        past: what was durable before a cut, after which life went on.

    """

    kind: StoreKind = StoreKind.MODULE
    disk: CrashDisk = field(default_factory=CrashDisk)
    token: CrashDisk = field(default_factory=CrashDisk)
    guarded: bool = False
    recording: bool = True
    world: World = field(default_factory=World)
    stands: list[Stand] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    past: list[Stand] = field(default_factory=list)
    promised: int = -1
    step: str = "made"
    line: Line | None = None
    entropy: Seeded = field(default_factory=lambda: Seeded("crash disk"))

    def __post_init__(self) -> None:
        if self.guarded:
            FileCounter.create(COUNTER, files=self.token)
        if self.recording:
            self.disk.before_call = self.token.before_call = lambda _, name: self._record(name)

    def _record(self, call: str) -> None:
        begun = len(self.stands) - 1
        self.moments.append(Moment(self.step, call, self.disk.copy(), self.token.copy(), self.promised, begun))

    def made(self) -> SealedVault:
        """The store, new."""
        self.stands.append(Stand(None, {}))
        vault = SealedVault.create(
            STORE, self.kind, PASSPHRASE, entropy=self.entropy, cost=Cost(n=2, r=1), repeatable=True, files=self.disk
        )
        self.promised = 0
        return self.watched(vault)

    def opened(self, disk: CrashDisk, token: CrashDisk) -> SealedVault:
        """The store as it is found on another disk, with which the life goes on."""
        disk.written[:0] = self.disk.written
        self.disk, self.token = disk, token
        stands, self.stands = self.stands, []
        try:
            vault = reopened(disk, self.kind, self.entropy)
        except StoreMissing:
            return self.made()
        self.stands, self.promised = [Stand.of(vault)], 0
        self.past = stands[: stands.index(self.stands[0])]
        return self.watched(vault)

    def watched(self, vault: SealedVault) -> SealedVault:
        """The vault, whose writes are noted; they are promises where no counter has to follow them first."""
        real = vault._make_durable

        def make_durable(record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
            keys = private_bytes(vault)
            self.stands.append(Stand(record, {label: keys[label] for label in keep}))
            try:
                real(record, keep, erase=erase)
            except ErasureFailed:
                self.promised = len(self.stands) - 1
                raise
            if not self.guarded:
                self.promised = len(self.stands) - 1

        vault._make_durable = make_durable  # type: ignore[method-assign]
        return vault

    def run(self, script: Callable[[CrashLife], None]) -> CrashLife:
        """Live it to its end; the end is a moment, too."""
        script(self)
        self.step = "ended"
        if self.recording:
            self._record("nothing")
        return self

    def interrupted(
        self, script: Callable[[CrashLife], None], number: int, error: OSError | None = None, *, for_good: bool = False
    ) -> InsituError | None:
        """Live it until the call of the disk with this number, where power goes, or the call raises `error`.

        Args:
            script: the life.
            number: of the call.
            error: what it raises; None: power goes.
            for_good: so do all later calls.

        Returns:
            Our error that ended the life, if one did.

        """

        def before(at: int, _: str) -> None:
            if at == number or (for_good and at > number):
                raise PowerCut if error is None else OSError(*error.args)

        self.disk.before_call = before
        raised: InsituError | None = None
        try:
            script(self)
        except PowerCut:
            pass
        except InsituError as ours:
            raised = ours
        for side in () if self.line is None else self.line.sides:
            with suppress(InsituError):
                side.abandon()
        self.line = None
        self.disk.before_call = lambda number, name: None
        return raised

    # what a script is made of

    def met(self, line: Line) -> Line:
        """A meeting, begun; what goes wrong in the module's half goes up."""
        self.line = line
        return line.start()

    def ended(self, line: Line) -> None:
        """The meeting is over: by itself, or since nobody wants anything more and the line is cut."""
        line.finish()
        self.line = None
        error = line.module.error
        if error is not None and error.summary != "link lost":
            raise error


# Lives -------------------------------------------------------------------------------------------------------


def module_life(life: CrashLife) -> None:
    """Delivery, both trust options, work with keys, reset by hand and by command, and once more."""
    world = life.world
    world.vaults[SERIAL] = life.made()  # type: ignore[assignment]
    module = world_module(life)
    life.step = "delivery"
    module.initialize(SERIAL, world.root, world.certify_identity)
    personalized(life, TrustOption.CERTIFICATES)
    at_work(life)
    life.step = "reset by hand"
    world_module(life).reset_by_hand()
    personalized(life, TrustOption.PHYSICAL)
    at_work(life)
    life.step = "reset by command"
    line = life.met(sent_to_reset(world, module=world_module(life)))
    life.ended(line)
    personalized(life, TrustOption.CERTIFICATES)
    at_work(life, keys=False)


def go_on(life: CrashLife, disk: CrashDisk, token: CrashDisk) -> None:
    """After a cut all machines come up again, the module with the store as it is found; then it lives on, to the end.

    A serial number that the manufacturer's books name already is used up: a module that is blank again gets another.
    """
    world = life.world
    world.card, world.central = world.blank_card(), world.started_central()
    world.vaults[SERIAL] = life.opened(disk, token)  # type: ignore[assignment]
    module = world_module(life)
    if module.state is ModuleState.BLANK:
        module.initialize(f"{SERIAL}-2", world.root, world.certify_identity)
    if module.state is ModuleState.OPERATING:
        life.ended(life.met(contact(world, module=module)))  # a reset that was ordered happens now
    if module.state is ModuleState.OPERATING:
        at_work(life)
        world_module(life).reset_by_hand()
    personalized(life, TrustOption.CERTIFICATES)
    at_work(life)


def card_life(life: CrashLife) -> None:
    """A card is furnished, approves, signs, and somebody tries a wrong PIN."""
    world = life.world
    world.vaults["card on disk"] = life.made()  # type: ignore[assignment]
    card = world.new_card("Bank on disk", "card on disk")
    job = card.propose(CardRole.MODULE, "SN-x")
    with suppress(InsituError):
        card.approve(job, "alice", b"0000")
    public = world.vault("other").generate("x", KeyKind.P256, b"").public
    world.certify(CardRole.MODULE, "SN-x", public, card=card)


def manufacturer_life(life: CrashLife) -> None:
    """A manufacturer is established, and certifies a customer and a module."""
    world = life.world
    world.vaults["maker on disk"] = life.made()  # type: ignore[assignment]
    maker = world.new_manufacturer("maker on disk")
    maker.establish("Maker on disk")
    maker.sign_customer(world.blank_card("card-2").furnish("Bank 2", PINS))
    maker.certify_identity("SN-y", world.vault("other").generate("y", KeyKind.P256, b"").public)


def world_module(life: CrashLife) -> Module:
    """The module as its vault says, with its counter where there is one."""
    if not life.guarded:
        return life.world.blank_module(SERIAL)
    vault = restarted(life.world.vault(SERIAL))
    about: dict[str, Any] = life.world._about(SERIAL)
    module = Module(vault, counter=FileCounter(COUNTER, life.token), now=life.world.module_clock, **about)
    follow = module._keeping.after

    def after(record: ModuleRecord) -> None:
        follow(record)
        life.promised = len(life.stands) - 1

    module._keeping.after = after
    return module


def personalized(life: CrashLife, option: TrustOption) -> None:
    """One personalization."""
    life.step = f"personalization, {option.name.lower()}"
    module = world_module(life)
    serial = module.record.serial
    life.world.approved(CardRole.MODULE, serial)
    line = life.met(meeting(life.world, option, module=module, serial=serial))
    life.ended(line)


def at_work(life: CrashLife, *, keys: bool = True) -> None:
    """A session with the central system: an authorization, a payload, and a symmetric key that comes and is used."""
    life.step = "work"
    world, module = life.world, world_module(life)
    serial = module.record.serial
    line = life.met(contact(world, module=module))
    line.module.order(wanted(1))
    line.module.order(TransactionSettled(module.record.last, 5000))
    line.module.order(PayloadGiven(2, b"to the host"))
    life.ended(line)
    if keys:
        life.step = "key load"
        world.load_key(serial=serial, uses=2)
        line = life.met(contact(world, module=module))
        for tag in (1, 2, 3):  # the last one finds it worn out, and erases it
            line.module.order(SecretWanted(tag, SecretUsage.MAC, Cmac(b"data"), NOW, 0))
        world.load_key(serial=serial, uses=9)
        life.ended(line)
        line = life.met(contact(world, module=module))
        life.ended(line)


# What is found -----------------------------------------------------------------------------------------------


def module_record(record: bytes) -> ModuleRecord:
    """A module's record."""
    return decode_record(ModuleRecord, record, **RECORD_LIMITS)


def reopened(disk: CrashDisk, kind: StoreKind = StoreKind.MODULE, entropy: Seeded | None = None) -> SealedVault:
    """The store on this disk, opened by the product's own means."""
    entropy = entropy or Seeded("reopened")
    return SealedVault.open(STORE, kind, PASSPHRASE, entropy=entropy, repeatable=True, files=disk)


def module_is_sound(vault: SealedVault) -> None:
    """S2, and no key but those that the record speaks of."""
    if vault.record is None:
        assert vault.labels() == frozenset()
        return
    record = module_record(vault.record)
    assert record.serial.startswith(SERIAL)
    if record.condition is ModuleCondition.OPERATING:
        assert record.key is not None
        assert vault.labels() == record.labels
        ModuleAtWork.of(record, vault.find(record.key))  # chain, key and pin
        assert all(vault.find_secret(held.label) for held in record.keys)
    else:
        assert vault.labels() == {"identity"}
        assert (record.key, record.module, record.customer, record.central, record.keys) == (None,) * 4 + ((),)


@cache
def _opened(data: bytes) -> tuple[bytes, bytes]:
    """Plaintext and ciphertext of a whole sealed file."""
    envelope = sealed._envelope(data, STORE)
    protected, nonce, ciphertext = sealed._split(envelope, STORE)
    header = sealed.decode(protected)
    cipher = sealed._cipher(PASSPHRASE, header["salt"], Cost(*header["scrypt"]))  # type: ignore[index,call-overload,arg-type]
    return sealed._decrypt(cipher, protected, nonce, ciphertext, STORE), ciphertext


def traces(written: list[bytes], secret: bytes) -> Iterator[bytes]:
    """Where `secret` is sealed in anything that was ever written: both halves of its ciphertext.

    AES-GCM encrypts as a stream, so whoever has the passphrase reads a key from a part of a file, too.
    """
    for data in written:
        if data.startswith(sealed.MAGIC):
            plain, ciphertext = _opened(data)
            at = plain.find(secret)
            if at >= 0:
                half = len(secret) // 2
                yield ciphertext[at : at + half]
                yield ciphertext[at + half : at + len(secret)]


@dataclass
class Judge:
    """Says of a disk after a cut whether it holds what was promised.

    Attributes:
        life: that was lived, to its end.
        is_sound: what must hold of the party's store besides.

    """

    life: CrashLife
    is_sound: Callable[[SealedVault], None] = module_is_sound
    _traces: dict[bytes, list[bytes]] = field(default_factory=dict)
    _sound: set[int] = field(default_factory=set)

    def look_into(self, moment: Moment, disk: CrashDisk, *, honest: bool = True) -> int:
        """The number of the stand that is found in the store; -1 where there is no store, as none was promised."""
        try:
            vault = reopened(disk, self.life.kind)
        except StoreMissing:
            assert moment.promised < 0 or not honest
            if not honest:
                raise
            return -1
        found = Stand.of(vault)
        first = max(moment.promised, 0) if honest else 0
        number = next((n for n in range(first, moment.begun + 1) if self.life.stands[n] == found), None)
        assert number is not None, "neither the old state nor the new one"
        if number not in self._sound:  # what is found is this stand, to the last byte
            self.is_sound(vault)
            self._sound.add(number)
        vault.close()
        if honest and self.life.disk.atomic_renames:
            self.look_for_traces(number, disk)
        return number

    def look_for_traces(self, number: int, disk: CrashDisk) -> None:
        """No destroyed key is anywhere on the medium, with or without a name, sealed or not (S3)."""
        medium = b"".join(content for content in disk.survivors(0).everything() if content.strip(b"\0"))
        kept = set(self.life.stands[number].keys.values())
        for stand in (*self.life.past, *self.life.stands[:number]):
            for secret in stand.keys.values():
                if secret not in kept:
                    assert secret not in medium
                    assert not [trace for trace in self.traces_of(secret) if trace in medium], "a destroyed key is left"

    def traces_of(self, secret: bytes) -> list[bytes]:
        """See traces."""
        if secret not in self._traces:
            self._traces[secret] = list(traces(self.life.disk.written, secret))
        return self._traces[secret]
