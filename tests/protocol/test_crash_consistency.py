"""Whole lives on a disk that is cut, fails or lies at every call: old state or new, S2 and S3, and life goes on.

Every cut is tried with some seeds and, where there is time (`long`), with every seed in SEEDS; a failure names the
call and the seed that show it again.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from crash_lives import (
    COUNTER,
    SERIAL,
    CrashLife,
    Judge,
    Moment,
    Stand,
    card_life,
    go_on,
    manufacturer_life,
    module_is_sound,
    module_life,
    module_record,
    reopened,
    world_module,
)
from pump import contact

from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.messages import RECORD_LIMITS, CardRecord, ManufacturerRecord, ModuleCondition, decode_record
from insitu.protocol.parties.card import log_of
from insitu.protocol.stores.atomic import StoreFailed, StoreUncertain
from insitu.protocol.stores.card_log import open_intents
from insitu.protocol.stores.counter import CounterAhead, FileCounter, Guard, RolledBack
from insitu.protocol.stores.sealed import ForeignFile, StoreDamaged, StoreKind, StoreMissing, StoreTruncated
from insitu.simulate.disk import CrashDisk, PowerCut

SEEDS = range(6)
CALLS = {"read", "create", "write", "sync", "close", "link", "replace", "reopen", "remove", "sync_directory"}
STEPS = {
    "made",
    "delivery",
    "personalization, certificates",
    "personalization, physical",
    "work",
    "key load",
    "reset by hand",
    "reset by command",
}
SOME = pytest.mark.parametrize("seeds", [SEEDS[1:3], pytest.param(SEEDS, marks=pytest.mark.long)], ids=["two", "all"])
"""A cut leaves this or that of what was not synced, by seed; the rest of the seeds takes its time."""
DETECTED = (StoreMissing, StoreTruncated, StoreDamaged, ForeignFile)


@contextmanager
def naming(number: int, moment: Moment, seed: int) -> Iterator[None]:
    """Whatever fails inside says how to see it again."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"moment {number}, before {moment.call!r} in step {moment.step!r}, seed {seed}")
        raise


def found_after(judge: Judge, seed: int, *, honest: bool = True) -> Iterator[tuple[Moment, int | None, CrashDisk]]:
    """Each moment, the number of the stand that is found after a cut there (None: damage was detected), the disk."""
    for number, moment in enumerate(judge.life.moments):
        disk = moment.disk.survivors(seed)
        with naming(number, moment, seed):
            try:
                yield moment, judge.look_into(moment, disk, honest=honest), disk
            except DETECTED:
                assert not honest
                yield moment, None, disk


@pytest.fixture(scope="module")
def module_judge() -> Judge:
    return Judge(CrashLife().run(module_life))


# Cuts at every call -------------------------------------------------------------------------------------------


def test_the_life_goes_through_everything(module_judge):
    life = module_judge.life
    assert {moment.step for moment in life.moments} >= STEPS
    for step in STEPS - {"made", "delivery"}:
        assert {moment.call for moment in life.moments if moment.step == step} >= CALLS, step
    records = [module_record(stand.record) for stand in life.stands if stand.record]
    assert [record.generation for record in records] == list(range(1, len(records) + 1))
    assert [record.epoch for record in records if record.condition is ModuleCondition.RESET] == [1, 2]
    assert sum(any(label.startswith("secret") for label in stand.keys) for stand in life.stands) > 5
    assert len(life.moments) == len(life.disk.calls) + 1


@SOME
def test_a_cut_at_any_call_of_a_module_leaves_old_or_new(module_judge, seeds):
    """Also S2 and S3: an acknowledged reset stays, and its key is nowhere on the medium, not even sealed."""
    outcomes: dict[str, set[bool]] = {}
    for seed in seeds:
        for moment, found, _ in found_after(module_judge, seed):
            if moment.begun > moment.promised:
                outcomes.setdefault(moment.step, set()).add(found == moment.begun)
    assert outcomes == {step: {False, True} for step in STEPS}


@SOME
def test_a_file_system_that_renames_by_halves_still_leaves_old_or_new(seeds):
    """Without a journal; there a cut may leave a key sealed in a file without a name."""
    judge = Judge(CrashLife(disk=CrashDisk(atomic_renames=False)).run(module_life))
    for seed in seeds:
        assert {found for _, found, _ in found_after(judge, seed)} >= set(range(len(judge.life.stands)))


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.long)])
def test_a_second_cut_while_the_store_is_opened_again_changes_nothing(module_judge, every):
    cuts = 0
    for number, moment in list(enumerate(module_judge.life.moments))[::every]:
        seed = number % len(SEEDS)
        with naming(number, moment, seed):
            whole = moment.disk.survivors(seed)
            found = module_judge.look_into(moment, whole)
            if moment.call != "replace" and "write" not in whole.calls:
                continue  # nothing was left to be cleared away
            for at in range(len(whole.calls) // 2):  # the judge opens it twice at most
                disk = moment.disk.survivors(seed)
                disk.before_call = cut_at(at)
                try:
                    reopened(disk).close()
                except PowerCut:
                    cuts += 1
                assert module_judge.look_into(moment, disk.survivors(seed + at)) == found
    assert cuts > 500 // every


def cut_at(number: int) -> Callable[[int, str], None]:
    def cut(at: int, _: str) -> None:
        if at == number:
            raise PowerCut

    return cut


def card_is_sound(vault: SealedVault) -> None:
    """The log holds together, and there are both keys or none."""
    if vault.record is None:
        assert vault.labels() == frozenset()
    else:
        open_intents(log_of(decode_record(CardRecord, vault.record, **RECORD_LIMITS)))
        assert len(vault.labels()) == 2


def manufacturer_is_sound(vault: SealedVault) -> None:
    """There is a root with its key, or neither."""
    if vault.record is not None:
        decode_record(ManufacturerRecord, vault.record, **RECORD_LIMITS)
    assert len(vault.labels()) == (0 if vault.record is None else 1)


@pytest.mark.parametrize(
    ("kind", "script", "is_sound", "writes"),
    [
        (StoreKind.CARD, card_life, card_is_sound, 9),
        (StoreKind.MANUFACTURER, manufacturer_life, manufacturer_is_sound, 3),
    ],
    ids=["card", "manufacturer"],
)
def test_a_cut_at_any_call_of_another_party_leaves_old_or_new(kind, script, is_sound, writes):
    judge = Judge(CrashLife(kind).run(script), is_sound)
    assert len(judge.life.stands) > writes
    for seed in SEEDS:
        assert {found for _, found, _ in found_after(judge, seed)} >= set(range(len(judge.life.stands)))


# Real interruptions, after which life goes on -----------------------------------------------------------------


def calls_of_a_life() -> int:
    return len(CrashLife(recording=False).run(module_life).disk.calls)


def after(life: CrashLife) -> Moment:
    return Moment(life.step, "?", life.disk, life.token, life.promised, len(life.stands) - 1)


def lives_on(life: CrashLife, disk: CrashDisk) -> None:
    """To its end, at which the module works, and no key of before is left anywhere."""
    go_on(life, disk, life.token)
    module_is_sound(reopened(disk.survivors(0)))
    Judge(life).look_for_traces(len(life.stands) - 1, disk)
    module = world_module(life)
    assert module.record.condition is ModuleCondition.OPERATING
    assert contact(life.world, module=module).start().peer.session.state.name == "ONLINE"


@pytest.mark.parametrize("every", [18, pytest.param(7, marks=pytest.mark.long)])
def test_life_goes_on_after_a_cut(every):
    """A sample of all calls, closer while the store is made and the module delivered."""
    steps = set()
    for number in (*range(0, 45, every // 3), *range(45, calls_of_a_life(), every)):
        life = CrashLife(recording=False)
        assert life.interrupted(module_life, number) is None
        moment, disk = after(life), life.disk.survivors(number)
        with naming(number, moment, number):
            Judge(life).look_into(moment, life.disk.survivors(number))
            lives_on(life, disk)
            steps.add(moment.step)
    assert steps == STEPS


@pytest.mark.parametrize(
    ("number", "for_good", "every"),
    [
        pytest.param(errno.EIO, False, 29, id="EIO once"),
        pytest.param(errno.ENOSPC, True, 37, id="ENOSPC from then on"),
        *(
            pytest.param(number, for_good, 23, id=f"{errno.errorcode[number]}-{for_good}", marks=pytest.mark.long)
            for number in (errno.EIO, errno.ENOSPC)
            for for_good in (False, True)
        ),
    ],
)
def test_a_disk_that_fails_at_a_call_is_our_error_and_life_goes_on(number, for_good, every):
    """Writes that fail have written half. What StoreFailed says holds: nothing has changed, whatever comes next."""
    errors = Counter[type]()
    for at in range(2 * for_good + (number == errno.EIO), calls_of_a_life(), every):
        life = CrashLife(recording=False)
        life.disk.short_writes = True
        raised = life.interrupted(module_life, at, OSError(number, "failed on purpose"), for_good=for_good)
        moment, seed = after(life), at
        with naming(at, moment, seed):
            if isinstance(raised, StoreFailed):
                moment = Moment(moment.step, "?", life.disk, life.token, life.promised, life.promised)
            errors[type(raised)] += 1
            disk = life.disk.survivors(seed)
            Judge(life).look_into(moment, life.disk.survivors(seed))
            lives_on(life, disk)
    assert errors[StoreFailed] > 5
    assert errors[StoreUncertain] > 0


# A monotonic counter (S4) -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Judge:
    return Judge(CrashLife(guarded=True).run(module_life))


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (0, 2))])
def test_a_cut_between_store_and_counter_is_made_up_for_and_older_copies_are_refused(guarded, seed):
    behind = 0
    stands = guarded.life.stands
    for moment, found, _ in found_after(guarded, seed):
        if found is None or found < 0:
            continue
        counter = FileCounter(COUNTER, moment.token.survivors(seed))
        behind += counter.read() < stands[found].generation
        if moment.promised > 0:  # all that came before is older still
            with pytest.raises(RolledBack):
                Guard(counter, stands[moment.promised - 1].generation)
        Guard(counter, stands[found].generation)
        assert counter.read() == stands[found].generation
    assert behind > 100


def copies(life: CrashLife) -> Iterator[tuple[Stand, CrashDisk]]:
    """The disk with each stand that was ever acknowledged, as somebody would copy it."""
    for number, stand in enumerate(life.stands):
        yield stand, next(moment.disk for moment in life.moments if moment.promised == number).survivors(0)


def test_a_restored_copy_is_noticed_by_the_counter_and_by_nothing_else_on_the_spot(guarded):
    counter = FileCounter(COUNTER, guarded.life.token)
    *older, _ = copies(guarded.life)
    for stand, disk in older:
        with reopened(disk) as vault:
            assert Stand.of(vault) == stand
            module_is_sound(vault)
            with pytest.raises(RolledBack):
                Guard(counter, stand.generation)
    assert len(older) > 40


def test_a_counter_that_was_reset_is_not_taken_silently(guarded):
    newest = guarded.life.stands[-1]
    token = CrashDisk()
    counter = FileCounter.create(COUNTER, files=token)
    with pytest.raises(CounterAhead):
        Guard(counter, newest.generation)
    assert counter.read() == 0


def test_without_a_counter_the_central_system_notices_a_restored_copy(guarded):
    """Of an operating module, by epoch or generation, at its next contact."""
    refused = 0
    life = guarded.life
    entry = life.world.central.registry.module(SERIAL)
    for stand, disk in copies(life):
        record = module_record(stand.record) if stand.record else None
        if record is None or record.condition is not ModuleCondition.OPERATING or record.generation >= entry.generation:
            continue
        life.world.vaults[SERIAL] = reopened(disk)
        with pytest.raises(RolledBack):
            world_module(life)
        line = contact(life.world, module=life.world.blank_module(SERIAL)).start().finish()
        assert line.peer.error is not None
        assert line.peer.session.state.name != "ONLINE"
        refused += 1
    assert refused > 30


# A disk that lies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [SEEDS[2:3], pytest.param(SEEDS[1:4], marks=pytest.mark.long)], ids=["one", "three"])
def test_a_disk_that_lies_leaves_some_state_that_was_whole_once_or_damage_that_is_detected(seeds):
    """Never a mixture. A step back is silent without a counter, and never with one that lies on honest storage."""
    outcomes = Counter[str]()
    for share in (0.1, 0.5, 0.8, 1.0):
        chance = random.Random(f"lies {share}")
        life = CrashLife(guarded=True)
        life.disk.lies = lambda number, name, chance=chance, share=share: chance.random() < share
        judge = Judge(life.run(module_life))
        for seed in seeds:
            for moment, found, _ in found_after(judge, seed, honest=False):
                if found is None:
                    outcomes["damage"] += 1
                    continue
                counter = FileCounter(COUNTER, moment.token.survivors(seed))
                outcomes["kept" if found >= moment.promised else "lost"] += 1
                if found == moment.begun:
                    Guard(counter, life.stands[found].generation)
                elif found < moment.promised:
                    with pytest.raises(RolledBack):
                        Guard(counter, life.stands[found].generation)
    assert min(outcomes[each] for each in ("damage", "lost", "kept")) > 6 * len(seeds)


def test_a_life_repeats():
    """The same calls with the same bytes: a seed that is printed shows the failure again."""
    one, other = (CrashLife(recording=False).run(module_life) for _ in range(2))
    assert one.disk.calls == other.disk.calls
    assert one.disk.written == other.disk.written
