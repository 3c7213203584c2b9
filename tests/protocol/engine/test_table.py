"""Tables by example: what a step answers, what it refuses, and which tables are refused as they are built."""

from __future__ import annotations

import gc
import threading
from dataclasses import FrozenInstanceError, dataclass
from enum import Enum, IntEnum, auto
from functools import partial
from typing import Any

import pytest

from insitu.protocol.engine import (
    STAY,
    Arrow,
    Fault,
    ProtocolError,
    Refused,
    Row,
    Send,
    Step,
    Table,
    TableError,
    given,
    row,
)


class Door(Enum):
    LOCKED = auto()
    UNLOCKED = auto()
    SEALED = auto()


@dataclass(frozen=True, slots=True)
class Coin:
    value: int


@dataclass(frozen=True, slots=True)
class Push:
    pass


@dataclass(frozen=True, slots=True)
class Seal:
    pass


@dataclass(frozen=True, slots=True)
class Till:
    total: int = 0


def coin_is_enough(_: Till, event: Coin) -> bool:
    return event.value >= 50


def coin_is_genuine(_: Till, event: Coin) -> bool:
    if event.value == 13:
        raise ProtocolError("that is no coin", who="door", fault=Fault.MALFORMED)
    return event.value > 0


def till_is_light(data: Till, _: object) -> bool:
    return data.total < 100


def take(data: Till, event: Coin) -> tuple[Till, list[Send]]:
    return Till(data.total + event.value), [Send("thanks"), Send(event.value)]


def hand_back(data: Till, event: Coin) -> tuple[Till, list[Send]]:
    if event.value == 7:
        raise ZeroDivisionError("a bug in an action")
    return data, [Send(event)]


TURNSTILE: Table[Door, Till] = Table(
    "door",
    Door,
    Door.LOCKED,
    [
        row(Door.LOCKED, Coin, coin_is_enough, take, Door.UNLOCKED),
        row(Door.LOCKED, Coin, coin_is_genuine, hand_back, STAY),
        row(Door.UNLOCKED, Push, None, None, Door.LOCKED),
        row(Door, Seal, till_is_light, None, Door.SEALED),
    ],
)


def refusal(rows: list[Row[Door]], **options: Any) -> TableError:
    with pytest.raises(TableError) as caught:
        Table[Door, Till]("door", Door, Door.LOCKED, rows, **options)
    return caught.value


# Steps


def test_step_answers_new_state_new_data_and_effects_in_order():
    assert TURNSTILE.step(Door.LOCKED, Till(5), Coin(50)) == Step(Door.UNLOCKED, Till(55), (Send("thanks"), Send(50)))


def test_row_without_guard_and_action_only_moves():
    data = Till(5)
    step = TURNSTILE.step(Door.UNLOCKED, data, Push())
    assert step.state is Door.LOCKED
    assert step.data is data
    assert step.effects == ()


def test_stay_remains_in_the_state_it_came_from():
    assert TURNSTILE.step(Door.LOCKED, Till(), Coin(10)) == Step(Door.LOCKED, Till(), (Send(Coin(10)),))
    both = Table[Door, Till](
        "door", Door, Door.LOCKED, [row(Door, Coin, None, None, STAY)], entries=[Door.UNLOCKED, Door.SEALED]
    )
    assert [both.step(state, Till(), Coin(1)).state for state in Door] == list(Door)


def test_first_row_whose_guard_holds_is_taken():
    def rows(*actions: str) -> list[Row[Door]]:
        def act(name: str) -> Any:
            def action(data: Till, _: Coin) -> tuple[Till, list[Send]]:
                return data, [Send(name)]

            return action

        return [
            row(Door.LOCKED, Coin, coin_is_enough, act(actions[0]), STAY),
            row(Door.LOCKED, Coin, till_is_light, act(actions[1]), STAY),
            row(Door.LOCKED, Coin, None, act(actions[2]), STAY),
        ]

    table = Table[Door, Till]("door", Door, Door.LOCKED, rows("a", "b", "c"), entries=Door)

    def sent(data: Till, coin: Coin) -> object:
        (effect,) = table.step(Door.LOCKED, data, coin).effects
        assert isinstance(effect, Send)
        return effect.message

    assert sent(Till(), Coin(50)) == "a"
    assert sent(Till(), Coin(10)) == "b"
    assert sent(Till(100), Coin(10)) == "c"


def test_effects_are_not_the_list_that_the_action_may_still_hold():
    held: list[Send] = []

    def keep_the_list(data: Till, _: Coin) -> tuple[Till, list[Send]]:
        held.append(Send(1))
        return data, held

    table = Table[Door, Till]("door", Door, Door.LOCKED, [row(Door, Coin, None, keep_the_list, STAY)], entries=Door)
    step = table.step(Door.LOCKED, Till(), Coin(1))
    held.clear()
    assert step.effects == (Send(1),)


def test_step_outcome_is_immutable():
    step = TURNSTILE.step(Door.UNLOCKED, Till(), Push())
    with pytest.raises(FrozenInstanceError):
        step.state = Door.SEALED


# Refusals


def test_event_without_a_row_is_refused_with_what_would_have_been_accepted():
    with pytest.raises(Refused) as caught:
        TURNSTILE.step(Door.LOCKED, Till(), Push())
    refused = caught.value
    assert (refused.who, refused.state, refused.event) == ("door", "LOCKED", "Push")
    assert refused.accepted == ("Coin", "Seal")
    assert refused.guards == ()
    assert refused.fault is Fault.UNEXPECTED
    assert str(refused) == "door: Push has no place in state LOCKED (expected Coin, Seal, got Push)"


def test_event_no_table_knows_is_refused_like_any_other():
    with pytest.raises(Refused) as caught:
        TURNSTILE.step(Door.UNLOCKED, Till(), "not an event")
    assert caught.value.event == "str"
    assert caught.value.accepted == ("Push", "Seal")


def test_state_that_accepts_nothing_says_so():
    table = Table[Door, Till](
        "door", Door, Door.LOCKED, [row(Door.LOCKED, Push, None, None, Door.SEALED)], entries=[Door.UNLOCKED]
    )
    with pytest.raises(Refused, match="expected nothing more, got Push"):
        table.step(Door.SEALED, Till(), Push())


def test_event_that_no_guard_admits_is_refused_with_the_guards_that_failed():
    with pytest.raises(Refused) as caught:
        TURNSTILE.step(Door.LOCKED, Till(), Coin(0))
    refused = caught.value
    assert refused.guards == ("coin_is_enough", "coin_is_genuine")
    assert refused.fault is Fault.UNTRUSTED
    assert str(refused) == "door: Coin refused in state LOCKED (expected coin is enough or coin is genuine)"


def test_refusal_tells_nothing_of_the_event_but_its_name():
    with pytest.raises(Refused) as caught:
        TURNSTILE.step(Door.LOCKED, Till(424242), Coin(-434343))
    assert "424242" not in repr(vars(caught.value))
    assert "434343" not in repr(vars(caught.value))


def test_error_raised_by_a_guard_comes_through_as_it_is():
    with pytest.raises(ProtocolError, match="door: that is no coin") as caught:
        TURNSTILE.step(Door.LOCKED, Till(), Coin(13))
    assert not isinstance(caught.value, Refused)
    assert caught.value.fault is Fault.MALFORMED


def test_subclass_of_an_event_is_another_event():
    class Token(Coin):
        pass

    with pytest.raises(Refused, match="Token has no place in state LOCKED"):
        TURNSTILE.step(Door.LOCKED, Till(), Token(50))


@pytest.mark.parametrize(
    ("event", "error"),
    [(Push(), Refused), (Coin(0), Refused), (Coin(13), ProtocolError), (Coin(7), ZeroDivisionError)],
    ids=["no row", "no guard holds", "guard raises", "action raises"],
)
def test_failed_step_leaves_no_trace(event: object, error: type[Exception]):
    data = Till(5)
    before = TURNSTILE.step(Door.LOCKED, data, Coin(50))
    with pytest.raises(error):
        TURNSTILE.step(Door.LOCKED, data, event)
    assert data == Till(5)
    assert TURNSTILE.step(Door.LOCKED, data, Coin(50)) == before


def test_action_that_answers_nonsense_is_an_error_not_a_state():
    def forget_to_return(_: Till, __: Coin) -> Any:
        return None

    table = Table[Door, Till]("door", Door, Door.LOCKED, [row(Door, Coin, None, forget_to_return, STAY)], entries=Door)
    with pytest.raises(TypeError):
        table.step(Door.LOCKED, Till(), Coin(1))


def test_guard_counts_by_its_truth():
    """`transitions` compares with True: 5 would not hold. Ours reads as Python reads."""

    def five_is_true(_: Till, __: Coin) -> Any:
        return 5

    table = Table[Door, Till]("door", Door, Door.LOCKED, [row(Door, Coin, five_is_true, None, STAY)], entries=Door)
    assert table.step(Door.LOCKED, Till(), Coin(1)).state is Door.LOCKED


def test_one_table_serves_steps_within_steps_and_threads():
    """A nested or concurrent step knows nothing of the one around it."""

    def look_twice(data: Till, event: Coin) -> tuple[Till, list[Send]]:
        inner = TURNSTILE.step(Door.LOCKED, data, event) if event.value < 60 else None
        return Till(data.total + 1), [Send(inner.state if inner else None)]

    table = Table[Door, Till]("door", Door, Door.LOCKED, [row(Door, Coin, None, look_twice, STAY)], entries=Door)
    assert table.step(Door.SEALED, Till(), Coin(50)) == Step(Door.SEALED, Till(1), (Send(Door.UNLOCKED),))

    wrong: list[object] = []

    def run(state: Door) -> None:
        for n in range(300):
            step = table.step(state, Till(n), Coin(70))
            if step != Step(state, Till(n + 1), (Send(None),)):
                wrong.append(step)

    threads = [threading.Thread(target=run, args=(state,)) for state in Door]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_step_leaves_nothing_behind_in_the_table():
    """The memory of a session is what the caller holds: no model stays registered."""

    class Load:
        """Data that can be counted."""

    table = Table[Door, Any]("door", Door, Door.LOCKED, [row(Door, Coin, None, None, STAY)], entries=Door)
    for _ in range(50):
        table.step(Door.LOCKED, Load(), Coin(1))
    gc.collect()
    assert [thing for thing in gc.get_objects() if isinstance(thing, Load)] == []


# What a table tells of itself


def test_accepts_events_states_and_arrows_in_the_order_of_the_rows():
    assert TURNSTILE.accepts(Door.LOCKED) == (Coin, Seal)
    assert TURNSTILE.accepts(Door.UNLOCKED) == (Push, Seal)
    assert TURNSTILE.accepts(Door.SEALED) == (Seal,)
    assert TURNSTILE.events == (Coin, Push, Seal)
    assert TURNSTILE.states == tuple(Door)
    first, second, *_ = TURNSTILE.rows
    assert TURNSTILE.arrows[:2] == (
        Arrow(Door.LOCKED, first, Door.UNLOCKED),
        Arrow(Door.LOCKED, second, Door.LOCKED),
    )
    assert len(TURNSTILE.arrows) == 6
    assert repr(TURNSTILE) == "<Table door: 3 states, 4 rows>"


def test_a_table_is_called_after_its_party_unless_the_party_has_several():
    """Errors name the party, whichever of its tables it is."""
    rows = [
        row(Door.LOCKED, Coin, coin_is_genuine, None, Door.UNLOCKED),
        row(Door.UNLOCKED, Seal, None, None, Door.SEALED),
    ]
    night = Table[Door, Till]("door", Door, Door.LOCKED, rows, name="door-at-night")
    assert (TURNSTILE.party, TURNSTILE.name, night.party, night.name) == ("door", "door", "door", "door-at-night")
    for kind in (Push, Coin):
        with pytest.raises(Refused) as refusal:
            night.step(Door.LOCKED, Till(), kind(0) if kind is Coin else kind())
        assert refusal.value.who == "door"


def test_row_counts_only_for_states_in_which_an_earlier_row_leaves_something():
    table = Table[Door, Till](
        "door",
        Door,
        Door.LOCKED,
        [
            row(Door.LOCKED, Push, None, None, Door.SEALED),
            row(Door, Push, None, None, Door.UNLOCKED),
        ],
    )
    assert [(arrow.source, arrow.target) for arrow in table.arrows] == [
        (Door.LOCKED, Door.SEALED),
        (Door.UNLOCKED, Door.UNLOCKED),
        (Door.SEALED, Door.UNLOCKED),
    ]
    assert table.step(Door.LOCKED, Till(), Push()).state is Door.SEALED


def test_state_named_twice_in_a_row_counts_once():
    doubled = row((Door.LOCKED, Door.LOCKED), Push, till_is_light, None, STAY)
    table = Table[Door, Till]("door", Door, Door.LOCKED, [doubled], entries=[Door.LOCKED, *Door])
    assert table.arrows == (Arrow(Door.LOCKED, doubled, Door.LOCKED),)
    assert table.entries == tuple(Door)


def test_event_may_bear_a_name_that_the_machine_below_uses_itself():
    state = type("state", (), {})
    table = Table[Door, Till]("door", Door, Door.LOCKED, [row(Door, state, None, None, STAY)], entries=Door)
    assert table.step(Door.LOCKED, Till(), state()).state is Door.LOCKED


def test_given_passes_a_value_and_calls_its_absence_a_mistake_of_the_table():
    assert given(0) == 0
    with pytest.raises(TableError, match="without the data"):
        given(None)


# Tables that must not exist


def test_table_needs_rows():
    assert refusal([]).summary == "a table needs rows"


def test_unreachable_state_is_refused():
    error = refusal([row(Door.LOCKED, Push, None, None, Door.UNLOCKED)])
    assert str(error) == "door: unreachable state (expected a way from LOCKED, got SEALED)"


def test_states_that_reach_only_each_other_are_unreachable():
    error = refusal(
        [
            row(Door.UNLOCKED, Push, None, None, Door.SEALED),
            row(Door.SEALED, Push, None, None, Door.UNLOCKED),
            row(Door.LOCKED, Push, None, None, STAY),
        ]
    )
    assert error.got == "UNLOCKED, SEALED"


def test_row_that_an_earlier_one_leaves_nothing_to_reaches_nothing():
    """SEALED seems reachable from LOCKED by the second row, but the first takes every Push there."""
    error = refusal(
        [
            row(Door.LOCKED, Push, None, None, STAY),
            row((Door.LOCKED, Door.UNLOCKED), Push, None, None, Door.SEALED),
            row(Door.SEALED, Push, None, None, Door.UNLOCKED),
        ]
    )
    assert error.summary == "unreachable state"


def test_entries_are_reached():
    table = Table[Door, Till](
        "door",
        Door,
        Door.LOCKED,
        [row(Door.LOCKED, Push, None, None, STAY)],
        entries=[Door.SEALED, Door.UNLOCKED],
    )
    assert table.entries == (Door.LOCKED, Door.SEALED, Door.UNLOCKED)


def test_row_after_an_unguarded_one_can_never_fire():
    error = refusal(
        [
            row(Door, Push, None, None, Door.UNLOCKED),
            row(Door.LOCKED, Push, till_is_light, None, Door.SEALED),
        ]
    )
    assert error.summary == "row 2 (Push) can never fire: earlier rows take every such event first"


def test_row_with_the_guard_of_an_earlier_one_can_never_fire():
    error = refusal(
        [
            row(Door, Push, till_is_light, None, Door.UNLOCKED),
            row(Door.LOCKED, Push, till_is_light, None, Door.SEALED),
        ]
    )
    assert error.summary.startswith("row 2 (Push) can never fire")


def test_the_same_row_twice_is_once_too_often():
    push = row(Door, Push, None, None, STAY)
    assert refusal([push, push], entries=Door).summary.startswith("row 2 (Push) can never fire")


def test_rows_that_together_leave_nothing_to_a_third():
    error = refusal(
        [
            row(Door.LOCKED, Push, None, None, Door.UNLOCKED),
            row((Door.UNLOCKED, Door.SEALED), Push, None, None, Door.SEALED),
            row(Door, Push, till_is_light, None, STAY),
        ]
    )
    assert error.summary.startswith("row 3 (Push) can never fire")


def test_row_without_source_can_never_fire():
    assert refusal([row((), Push, None, None, Door.SEALED)]).summary.endswith("can never fire: it has no source state")


def test_two_events_of_one_name_are_refused():
    def other() -> type:
        @dataclass(frozen=True)
        class Push:
            pass

        return Push

    error = refusal([row(Door, Push, None, None, STAY), row(Door, other(), None, None, STAY)], entries=Door)
    assert str(error) == "door: two events of one name (expected one event type a name, got Push)"


class Colour(Enum):
    RED = auto()


class Number(IntEnum):
    ONE = 1


class Figure(IntEnum):
    ONE = 1


@pytest.mark.parametrize("state", [Colour.RED, "LOCKED", None])
def test_unknown_state_is_refused_wherever_it_stands(state: Any):
    anywhere = row(Door, Seal, None, None, STAY)
    for wrong in (row((state,), Push, None, None, Door.SEALED), row(Door.LOCKED, Push, None, None, state)):
        error = refusal([anywhere, wrong], entries=Door)
        assert error.summary == "row 2 (Push) names an unknown state"
        assert (error.expected, error.got) == ("LOCKED, UNLOCKED, SEALED", str(state))
    assert refusal([anywhere], entries=[state]).summary == "unknown initial state"


def test_equal_value_does_not_make_a_state_known():
    with pytest.raises(TableError, match="unknown state"):
        Table[Number, None]("numbers", Number, Number.ONE, [row(Figure.ONE, Push, None, None, Number.ONE)])


@pytest.mark.parametrize(
    "callback", [lambda *_: True, partial(coin_is_enough, Till()), None], ids=["lambda", "partial", "object"]
)
@pytest.mark.parametrize("place", ["guard", "action"])
def test_guard_or_action_without_a_name_is_refused(callback: Any, place: str):
    class Nameless:
        def __call__(self, *_: object) -> bool:
            return True

    nameless = callback or Nameless()
    wrong = (nameless, None) if place == "guard" else (None, nameless)
    error = refusal([row(Door, Coin, *wrong, STAY)], entries=Door)
    assert error.summary == "row 1 (Coin) has a guard or action without a name"


@pytest.mark.parametrize("event", [Coin | Push, Coin(1), "Coin"])
def test_what_is_no_event_class_is_refused(event: Any):
    assert refusal([row(Door, event, None, None, STAY)], entries=Door).summary == "row 1 names no event"
