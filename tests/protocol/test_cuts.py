"""Power cuts and failing storage at every place: durable state is old or new, and the work can be taken up again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pump import Line, PowerCut, Side, contact, meeting, personalize, sent_to_reset, sound
from world import NOW, PINS, SERIAL, Seeded, World, wanted

from insitu.protocol.engine import InsituError, Persist
from insitu.protocol.keys.vault import MemoryVault, SealedVault
from insitu.protocol.messages import CardRole, KeyPolicy, ModuleCondition, TrustOption
from insitu.protocol.parties.card import log_of
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import ModulePersonalized, ModuleReported
from insitu.protocol.parties.work_data import PayOutInstructed
from insitu.protocol.stores.atomic import ErasureFailed, StoreFailed, StoreUncertain
from insitu.protocol.stores.card_log import open_intents
from insitu.protocol.stores.registry import RegistryAway, Standing
from insitu.protocol.stores.sealed import Cost, StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.module import Module
from insitu.simulate.disk import CrashDisk
from insitu.simulate.disk import PowerCut as DiskCut

OPTIONS = list(TrustOption)


def cutting(number: int, *, after: bool = False) -> Callable[[MemoryVault], None]:
    """Power goes before, or right after, the write with this number of a vault."""

    def arm(vault: MemoryVault) -> None:
        count = 0
        real = vault.commit

        def commit(record: bytes, keep: frozenset[str]) -> None:
            nonlocal count
            count += 1
            if count == number + 1 and not after:
                raise PowerCut
            real(record, keep)
            if count == number + 1:
                raise PowerCut

        vault.commit = commit  # type: ignore[method-assign]

    return arm


def restart(world: World) -> World:
    """All machines come up again with what is durable."""
    for vault in world.vaults.values():
        vault.__dict__.pop("commit", None)
    world.card, world.module, world.central = world.blank_card(), world.blank_module(), world.started_central()
    return world


def finish_after_restart(world: World, option: TrustOption) -> None:
    """A second attempt finishes, or the module reports that it operates with a certificate that the log knows."""
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world, option).start().finish()
    assert (line.module.error, line.peer.error) == (None, None)
    assert isinstance(line.peer.result, (ModulePersonalized, ModuleReported))
    assert world.module.state is ModuleState.OPERATING
    sound(world, line)
    online = contact(world).start()
    assert online.peer.session.state.name == "ONLINE"


# Personalization


def places(world: World, option: TrustOption) -> Iterator[tuple[str, int]]:
    """Every effect that goes to a port, on either side, in an undisturbed run."""
    line = personalize(world, option)
    for side in line.sides:
        for number in range(len(side.performed)):
            yield side.name, number


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
def test_power_goes_before_any_effect_of_a_personalization(option):
    for name, number in places(World(), option):
        world = World()
        world.equip(option)
        world.approved(CardRole.MODULE, SERIAL)
        line = meeting(world, option)
        side = next(each for each in line.sides if each.name == name)
        count = 0

        def before(_: object, number: int = number) -> None:
            nonlocal count
            count += 1
            if count == number + 1:
                raise PowerCut

        side.before = before
        with pytest.raises(PowerCut):
            line.start()
        cut(line, side)
        restart(world)
        sound(world)
        finish_after_restart(world, option)


def cut(line: Line, side: Side) -> None:
    """One side has no power any more; the other notices a dead line."""
    side.abandon()
    other = side.other
    other.take(other.session.lost("no power at the other end"))
    other.finish()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name.lower())
@pytest.mark.parametrize(("vault", "writes"), [(SERIAL, 1), ("card", 2)])
def test_power_goes_at_any_write_of_a_personalization(option, vault, writes, after):
    if vault == SERIAL and option is TrustOption.SECRET:
        writes = 3  # an attempt, and that it was right
    for number in range(writes):
        world = World()
        world.approved(CardRole.MODULE, SERIAL)
        if option is TrustOption.TICKET:  # consumed before; that write is looked at in parties/test_card_tickets.py
            meeting(world, option, cut_after=5).start().finish()
        line = meeting(world, option)
        cutting(number, after=after)(world.vault(vault))
        with pytest.raises(PowerCut):
            line.start()
        cut(line, line.module if vault == SERIAL else line.peer)
        restart(world)
        expected = vault == SERIAL and after and number == writes - 1
        assert (world.module.record.condition is ModuleCondition.OPERATING) is expected
        if vault == "card":
            record = world.card.record
            intents = open_intents(log_of(record))
            used = after or number
            assert len(record.jobs) == (0 if used else 1)
            assert len(intents) == (0 if after and number else 1 if used else 0)
        finish_after_restart(world, option)


@pytest.mark.parametrize("frames", range(9))
@pytest.mark.parametrize("policy", KeyPolicy, ids=lambda policy: policy.name.lower())
def test_the_line_is_cut_after_any_frame(policy, frames):
    world = World()
    module = world.new_module("SN-2", manufactured_key=True)
    world.approved(CardRole.MODULE, "SN-2")
    line = meeting(world, module=module, serial="SN-2", policy=policy, cut_after=frames).start().finish()
    operating = module.state is ModuleState.OPERATING
    assert operating is (frames >= 7)
    labels = {"identity", module.record.key} if operating else {"identity", "manufactured"}
    assert world.vault("SN-2").labels() == labels
    assert (line.peer.error is None) is (frames >= 8)
    world.approved(CardRole.MODULE, "SN-2")
    again = meeting(world, module=module, serial="SN-2", policy=policy).start().finish()
    assert isinstance(again.peer.result, ModuleReported if operating else ModulePersonalized)


@pytest.mark.parametrize("after", [False, True], ids=["refused", "uncertain"])
def test_storage_that_fails_at_the_commit_promises_nothing(world: World, monkeypatch, after):
    """StoreFailed: the old state, go on. StoreUncertain: only a restart tells; until then the module does nothing."""
    world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world)
    vault = world.vault(SERIAL)
    error = StoreUncertain("names") if after else StoreFailed("full")

    def commit(record: bytes, keep: frozenset[str]) -> None:
        raise error

    monkeypatch.setattr(vault, "commit", commit)
    line.start().finish()
    monkeypatch.undo()
    assert line.module.error is error
    assert line.peer.session.state.name == "UNCONFIRMED"
    if after:
        for use in (lambda: world.module.state, lambda: world.module.record, lambda: world.module.reset_by_hand()):
            with pytest.raises(StoreUncertain):
                use()
        world.module = world.blank_module()
    assert world.module.state is ModuleState.DELIVERED
    finish_after_restart(restart(world), TrustOption.CERTIFICATES)


def test_whoever_waits_for_an_answer_hears_of_a_store_that_nobody_knows(world: World, monkeypatch):
    personalize(world)
    line = contact(world).start()
    line.module.order(wanted(1))
    work = world.module.at_work
    waiting = work._arrived

    def commit(record: bytes, keep: frozenset[str]) -> None:
        raise StoreUncertain("names")

    monkeypatch.setattr(world.vault(SERIAL), "commit", commit)
    line.module.order(wanted(2))
    line.finish()
    assert isinstance(line.module.error, StoreUncertain)
    assert waiting.is_set()


# Reset (S3)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_power_goes_at_the_write_of_a_reset(world: World, after):
    personalize(world)
    key = world.operating_key(world.module)
    line = sent_to_reset(world)
    cutting(1, after=after)(world.vault(SERIAL))  # the first write is that of the contact
    with pytest.raises(PowerCut):
        line.start()
    cut(line, line.module)
    restart(world)
    assert world.module.state is (ModuleState.RESET if after else ModuleState.OPERATING)
    assert (world.vault(SERIAL).find("operating-0") == key) is not after
    assert world.entry().standing is Standing.RESET_ORDERED
    refused = world.module.record.fingerprint
    if not after:
        contact(world).start().finish()
        assert world.module.state is ModuleState.RESET  # it was ordered, and is all that the module may still do
    assert personalize(world).peer.error is None
    assert world.module.record.fingerprint != refused
    assert contact(world).start().peer.session.state.name == "ONLINE"


def sealed_module(disk: CrashDisk, world: World) -> Module:
    path = Path("/module")
    about: dict[str, Any] = {"entropy": Seeded("sealed"), "repeatable": True, "files": disk}
    if path in disk.names:
        vault = SealedVault.open(path, StoreKind.MODULE, Secret(b"passphrase"), **about)
    else:
        cost = Cost(n=2, r=1, p=1)
        vault = SealedVault.create(path, StoreKind.MODULE, Secret(b"passphrase"), cost=cost, **about)
    world.vaults["sealed"] = vault  # type: ignore[assignment]
    return Module(vault, entropy=Seeded("sealed sessions"), now=world.module_clock)


def operating_on_disk() -> tuple[World, CrashDisk, Module]:
    world, disk = World(), CrashDisk()
    module = sealed_module(disk, world)
    module.initialize("SN-disk", world.root, world.certify_identity)
    personalize(world, module=module)
    return world, disk, module


def test_s3_power_goes_at_any_disk_call_of_a_reset():
    """The sealed file holds the key and OPERATING, or neither; what survives of unsynced writes is up to chance."""
    _, disk, module = operating_on_disk()
    begun = len(disk.calls)
    module.reset_by_hand()
    calls = len(disk.calls) - begun
    assert calls > 5
    seen = set()
    for number in range(calls):
        for seed in range(3):
            world, disk, module = operating_on_disk()
            begun = len(disk.calls)

            def power(at: int, _: str, begun: int = begun, number: int = number) -> None:
                if at == begun + number:
                    raise DiskCut

            disk.before_call = power
            with pytest.raises(DiskCut):
                module.reset_by_hand()
            survivor = disk.survivors(seed)
            module = sealed_module(survivor, world)
            labels = world.vault("sealed").labels()
            seen.add(module.state)
            if module.state is ModuleState.OPERATING:
                assert labels == {"identity", "operating-0"}
                assert module.reset_by_hand() == 1
            assert module.state is ModuleState.RESET
            assert world.vault("sealed").labels() == {"identity"}
            assert personalize(world, module=module).peer.error is None
    assert seen == {ModuleState.OPERATING, ModuleState.RESET}


def test_s3_an_erasure_that_fails_is_told_and_the_key_is_gone_all_the_same(world: World):
    personalize(world)
    vault = world.vault(SERIAL)

    def make_durable(record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
        if erase:
            raise ErasureFailed("old content is not overwritten")

    vault._make_durable = make_durable  # type: ignore[method-assign]
    with pytest.raises(ErasureFailed):
        world.module.reset_by_hand()
    assert world.module.state is ModuleState.RESET
    assert vault.labels() == {"identity"}


# At work


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", [0, 1, 2], ids=["contact", "number", "decision"])
def test_power_goes_at_any_write_of_the_central_system(world: World, monkeypatch, write, after):
    """An authorization is decided at most once, and the module that asks again gets the one answer there is."""
    personalize(world)
    asked: list[int] = []
    decide = world.central._decide
    monkeypatch.setattr(
        world.central, "_decide", lambda serial, wish: asked.append(wish.number) or decide(serial, wish)
    )
    registry, count = world.central.registry, 0
    commit = registry.commit

    def cut_off(change: Any, *, at: int) -> None:
        nonlocal count
        count += 1
        if count <= write:
            return commit(change, at=at)
        if after:
            commit(change, at=at)
        raise RegistryAway("power cut", who="registry")

    monkeypatch.setattr(registry, "commit", cut_off)
    line = contact(world).start()
    if write:
        line.module.order(wanted())
    line.finish()
    assert line.peer.error is not None
    monkeypatch.setattr(registry, "commit", commit)
    assert asked == ([1] if write == 2 else [])
    again = contact(world).start()
    if not write:
        again.module.order(wanted())
    answers = [note for note in world.shown if isinstance(note, PayOutInstructed)]
    lost = (write, after) in ((1, True), (2, False))  # it was asked, and nobody knows what the host said
    assert [(each.number, each.approved) for each in answers] == [(1, not lost)]
    assert len(asked) <= 1
    assert world.entry().last_number == 1


# Offices


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_power_goes_while_a_module_is_delivered(world: World, after):
    """Blank or delivered; a serial number that the books name is used up, and another one is free."""
    module = world.blank_module("SN-3")
    cutting(0, after=after)(world.vault("SN-3"))
    with pytest.raises(PowerCut):
        module.initialize("SN-3", world.root, world.certify_identity)
    restart(world)
    module = world.blank_module("SN-3")
    assert module.state is (ModuleState.DELIVERED if after else ModuleState.BLANK)
    if not after:
        with pytest.raises(InsituError, match="SN-3"):
            module.initialize("SN-3", world.root, world.certify_identity)
        module.initialize("SN-3b", world.root, world.certify_identity)
        assert module.state is ModuleState.DELIVERED


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_power_goes_while_a_card_is_furnished_or_a_manufacturer_established(world: World, after):
    cutting(0, after=after)(world.vault("card-2"))
    with pytest.raises(PowerCut):
        world.blank_card("card-2").furnish("Second", PINS)
    cutting(0, after=after)(world.vault("maker-2"))
    with pytest.raises(PowerCut):
        world.new_manufacturer("maker-2").establish("Second")
    restart(world)
    card, maker = world.blank_card("card-2"), world.new_manufacturer("maker-2")
    if after:
        assert card.record.name == "Second"
        assert maker.root
        with pytest.raises(InsituError):
            card.furnish("Third", PINS)
    else:
        assert world.vault("card-2").labels() == world.vault("maker-2").labels() == frozenset()
        assert card.furnish("Third", PINS)
        assert maker.establish("Third")


def test_a_wrong_pin_is_counted_before_it_is_said(world: World):
    """Power cuts give no further tries."""
    job = world.card.propose(CardRole.MODULE, SERIAL)
    cutting(0, after=True)(world.vault("card"))
    with pytest.raises(PowerCut):
        world.card.approve(job, "alice", b"wrong")
    restart(world)
    assert world.card.record.people[0].failures == 1


def test_every_persist_of_a_module_names_all_keys_that_are_to_stay(world: World):
    """Nothing is kept or lost by oversight: commits of the module always say which."""
    line = personalize(world)
    kept = [effect.keep for effect in line.module.performed if isinstance(effect, Persist)]
    assert kept == [frozenset({"identity", "operating-0"})]
    assert world.module.record.latest >= NOW
