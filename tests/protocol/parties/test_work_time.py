"""What time it is for a symmetric key: a clock that is set back, and set back again, gives it no second life (S8)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pump import Line, contact, personalize
from world import DAY, NOW, YEAR, World

from insitu.protocol.engine import (
    ChannelLost,
    Cmac,
    InsituError,
    Persist,
    SecretAlgorithm,
    SecretHandle,
    SecretUsage,
    StopTimer,
)
from insitu.protocol.messages import HeldKey, TimeTold
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.work import WORK
from insitu.protocol.parties.work_data import (
    KeyExpired,
    Reckoning,
    SecretAnswered,
    SecretWanted,
    TimePassed,
    WorkData,
    WorkState,
)
from insitu.protocol.parties.work_keys import NOTE_SECONDS
from insitu.protocol.parties.work_time import noted_for, time_for

S = WorkState
HANDLE = SecretHandle("secret-9", SecretUsage.MAC, SecretAlgorithm.AES, 128, "KCV(CMAC)=0011223344")
FLOOR = NOW - YEAR
"""What the central system said last, before anything here begins."""


@pytest.fixture(scope="module")
def online() -> Line:
    world = World()
    personalize(world)
    return contact(world).start()


@pytest.fixture(scope="module")
def data(online: Line) -> WorkData:
    """A module that is online and was told nothing yet, with a key for a day."""
    data = online.module.session.data
    record = replace(data.record, latest=FLOOR, keys=(HeldKey(HANDLE.label, 9, NOW + DAY, 5, 0),))
    return replace(data, record=record, secrets=(HANDLE,), reckoning=Reckoning())


def key_time(data: WorkData) -> int:
    return time_for(data, data.record.keys[0])


def key_noted(data: WorkData) -> int:
    return noted_for(data, data.record.keys[0])


def writes(step: object) -> list[Persist]:
    return [effect for effect in step.effects if isinstance(effect, Persist)]  # type: ignore[attr-defined]


# What really passes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [S.OPERATING, S.CALLING, S.ONLINE, S.CHALLENGED], ids=lambda state: state.name)
@pytest.mark.parametrize("ahead", [0, NOTE_SECONDS - 1])
def test_s8_a_clock_that_is_set_back_again_and_again_keeps_no_key_young(data: WorkData, state: S, ahead: int):
    """Every ten minutes the clock shows the same as before: the key is gone once its day has really passed."""
    known, noted = data, 0
    for steady in range(0, DAY - NOTE_SECONDS, NOTE_SECONDS - 1):
        for at in (NOW + ahead, NOW):
            step = WORK.step(state, known, TimePassed(at, steady))
            known, noted = step.data, noted + len(writes(step))
        assert key_noted(known) > NOW + steady - NOTE_SECONDS, "a power cut takes no more than that"
    assert noted <= DAY // NOTE_SECONDS + 1, "and not every look is a write"
    assert WORK.step(state, known, TimePassed(NOW, DAY + 1)).data.record.keys == ()
    wanted = SecretWanted(1, SecretUsage.MAC, Cmac(b"x"), NOW, DAY + 1)
    step = WORK.step(state, known, wanted)
    assert step.data.record.keys == ()
    assert isinstance(step.effects[-1].note, SecretAnswered)  # type: ignore[union-attr]


def test_s8_a_use_notes_what_has_really_passed(data: WorkData):
    """Whoever uses the key only, and never tells that time passes, makes it older all the same."""
    known = data
    for hours in (0, 1, 5):
        wanted = SecretWanted(1, SecretUsage.MAC, Cmac(b"x"), NOW, hours * 3600)
        (persist,) = writes(step := WORK.step(S.OPERATING, known, wanted))
        assert persist.record.keys[0].seen == NOW + hours * 3600
        known = replace(step.data, using=None)


def test_a_clock_that_was_ahead_harms_no_key_that_comes_after(data: WorkData):
    ahead = WORK.step(S.ONLINE, data, TimePassed(NOW + YEAR, 100)).data
    assert ahead.record.keys == ()
    assert ahead.record.latest == FLOOR
    later = replace(HANDLE, label="secret-10")
    held = HeldKey(later.label, 10, NOW + DAY, 5, 0)
    keyed = replace(ahead, secrets=(later,), record=replace(ahead.record, keys=(held,)))
    assert key_time(WORK.step(S.ONLINE, keyed, TimePassed(NOW, 200)).data) == NOW


# What the central system tells -------------------------------------------------------------------------------


def test_time_that_is_told_is_durable_once_it_moves_a_key_by_a_step(data: WorkData):
    looked = WORK.step(S.ONLINE, data, TimePassed(FLOOR, 0)).data
    soon = WORK.step(S.ONLINE, looked, TimeTold(FLOOR + NOTE_SECONDS - 1))
    assert soon.effects == (StopTimer("peer"),), "nothing is written at each sign of life"
    step = WORK.step(S.ONLINE, soon.data, TimeTold(FLOOR + NOTE_SECONDS))
    stop, persist = step.effects
    assert (stop, persist) == (StopTimer("peer"), Persist(step.data.record, step.data.record.labels))
    assert step.data.record.latest == key_noted(step.data) == FLOOR + NOTE_SECONDS
    again = WORK.step(S.ONLINE, step.data, TimeTold(FLOOR + NOTE_SECONDS + 60))
    assert again.effects == (StopTimer("peer"),)


def test_time_that_is_told_ends_a_key_at_once(data: WorkData):
    step = WORK.step(S.ONLINE, data, TimeTold(NOW + DAY + 1))
    stop, persist, note = step.effects
    assert (stop, persist.record.keys) == (StopTimer("peer"), ())  # type: ignore[union-attr]
    assert note.note == KeyExpired(SecretUsage.MAC, HANDLE.check_value)  # type: ignore[union-attr]


def test_time_that_is_told_is_in_whatever_is_written_next_and_outlives_the_session(data: WorkData):
    told = WORK.step(S.ONLINE, data, TimeTold(FLOOR + 60)).data
    (persist,) = writes(step := WORK.step(S.ONLINE, told, SecretWanted(1, SecretUsage.MAC, Cmac(b"x"), 0, 0)))
    assert persist.record.latest == step.data.record.latest == FLOOR + 60
    left = WORK.step(S.ONLINE, told, ChannelLost("gone")).data
    assert key_time(left) == FLOOR + 60


def test_who_has_no_key_writes_nothing(data: WorkData):
    bare = replace(data, secrets=(), record=replace(data.record, keys=()))
    for event in (TimeTold(NOW + YEAR), TimePassed(NOW + YEAR, YEAR)):
        assert not writes(WORK.step(S.ONLINE, bare, event))


# Any order ---------------------------------------------------------------------------------------------------

EVENTS = st.sampled_from(["look", "use", "told", "lost"])
HAPPENINGS = st.lists(
    st.tuples(st.integers(0, 3 * 3600), EVENTS, st.integers(-YEAR, 2 * DAY)),
    max_size=30,
)
"""Seconds that pass, what happens then, and what the clock or the central system says, seconds from NOW."""


@example([(0, "look", 1), (1, "told", 0)], 1)
@given(HAPPENINGS, st.integers(0, 5 * DAY))
def test_a_key_is_as_old_as_what_has_really_passed(data: WorkData, happenings: list[tuple[int, str, int]], life: int):
    """However the clocks jump: never younger than since the first look, never older than some clock or word says."""
    held = replace(data.record.keys[0], not_after=NOW + life, left=1000)
    known = WORK.step(S.ONLINE, replace(data, record=replace(data.record, keys=(held,))), TimePassed(NOW, 5)).data
    passed, words = 0, [NOW]
    """Each word of a clock or the central system as the time that it was when the first look was taken."""
    for seconds, what, says in happenings:
        passed += seconds
        before = known
        event = {
            "look": TimePassed(NOW + says, 5 + passed),
            "use": SecretWanted(1, SecretUsage.MAC, Cmac(b"x"), NOW + says, 5 + passed),
            "told": TimeTold(NOW + says),
            "lost": ChannelLost("gone"),
        }[what]
        step = WORK.step(S.ONLINE, known, event)
        known = replace(step.data, using=None)
        if what != "lost":
            words.append(NOW + says - passed)
        oldest = max(words) + passed
        if not known.record.keys:
            assert oldest > NOW + life, "not before its time"
            return
        assert key_time(before) <= key_time(known) <= oldest
        if what in ("look", "use"):
            assert key_time(known) >= NOW + passed
            assert NOW + passed <= NOW + life, "not after its time"
            assert key_noted(known) > key_time(known) - NOTE_SECONDS
    last = WORK.step(S.OPERATING, known, TimePassed(FLOOR, 5 + passed)).data
    if passed > life:
        assert last.record.keys == ()
    elif last.record.keys:
        assert key_time(last) >= NOW + passed
    else:
        assert max(words) + passed > NOW + life, "not before its time"


# With all around it ------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    """Operating, with a key for two days, while its own clock stands a year back and never moves."""
    world = World()
    personalize(world)
    line = contact(world).start()
    world.load_key(seconds=2 * DAY, uses=100)
    line.peer.order(AttentionCalled())
    world.module_clock.at = NOW - YEAR
    line.finish()
    return world


def usable(world: World, line: Line) -> bool:
    before = len(world.shown)
    try:
        line.module.order(SecretWanted(1, SecretUsage.MAC, Cmac(b"x"), world.module_clock(), world.steady()))
    except InsituError:
        return False
    return any(isinstance(note, SecretAnswered) and note.result is not None for note in world.shown[before:])


def tell(world: World, line: Line, seconds: int) -> None:
    """A sign of life, answered with a time so many seconds from NOW."""
    world.clock.at = NOW + seconds
    line.module.expire("beat")


@pytest.mark.parametrize("powered", [True, False])
def test_s8_time_that_was_told_counts_after_the_session_and_after_a_power_cut(world: World, powered: bool):
    """Also if the central system's clock is set back then; a power cut takes less than NOTE_SECONDS of it."""
    line = contact(world).start()
    assert usable(world, line)
    for seconds in (DAY, 2 * DAY - NOTE_SECONDS, 2 * DAY - 60):
        tell(world, line, seconds)
    if powered:
        line.finish()
    else:
        for side in line.sides:
            side.abandon()
        world.module = world.blank_module()
    world.clock.at = NOW
    line = contact(world).start()
    assert usable(world, line)
    world.steady.at += 61 if powered else NOTE_SECONDS + 1
    assert not usable(world, line)
    assert world.module.record.keys == ()
    line.finish()


def test_s8_time_goes_on_from_session_to_session(world: World):
    """While the module's clock and the central system's stand still."""
    for hours in range(50):
        line = contact(world).start()
        assert usable(world, line) is (hours <= 48)
        line.finish()
        world.steady.at += 3600
