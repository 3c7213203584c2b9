from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

import pytest
from world import memory

from insitu.protocol.desk import Desk
from insitu.protocol.engine import (
    Close,
    EnvironmentFault,
    Fault,
    GenerateKey,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    Persist,
    ProtocolError,
    Refused,
    Send,
    Show,
    StartTimer,
    StateError,
    StopTimer,
    Table,
    TableError,
    UsageError,
    row,
)
from insitu.protocol.ports import Ports


class S(Enum):
    IDLE = auto()
    MAKING = auto()
    DONE = auto()


@dataclass(frozen=True)
class Make:
    label: str = "pair"


@dataclass(frozen=True)
class Talk:
    """Wants a link."""


@dataclass(frozen=True)
class Claim:
    """Something that does not hold."""


@dataclass(frozen=True)
class Data:
    made: KeyPairMade | None = None


def make(data: Data, event: Make):
    return data, [Show("begun"), StartTimer("t", 1), GenerateKey(event.label, KeyKind.P256, b"")]


def keep(data: Data, event: KeyPairMade):
    return replace(data, made=event), [StopTimer("t"), Persist("record", frozenset({"pair"})), Show("kept"), Close()]


def give_up(data: Data, event: KeyOperationFailed):
    return data, [Show("failing"), Close(Fault.UNAVAILABLE, event.reason), Show("never")]


def talk(data: Data, _: Talk):
    return data, [Send("hello")]


def it_holds(_: Data, __: Claim) -> bool:
    raise ProtocolError("claim", expected="one that holds")


TABLE = Table[S, Data](
    "somebody",
    S,
    S.IDLE,
    [
        row(S.IDLE, Make, None, make, S.MAKING),
        row(S.MAKING, KeyPairMade, None, keep, S.DONE),
        row(S.MAKING, KeyOperationFailed, None, give_up, S.IDLE),
        row(S.IDLE, Talk, None, talk, S.IDLE),
        row(S.IDLE, Claim, it_holds, None, S.DONE),
    ],
)


@pytest.fixture
def kept() -> list[object]:
    return []


@pytest.fixture
def shown() -> list[object]:
    return []


@pytest.fixture
def desk(kept: list[object], shown: list[object]) -> Desk[S, Data]:
    ports = Ports(memory("desk"), commit=lambda record, keep: kept.append((record, keep)), show=shown.append)
    return Desk(TABLE, S.IDLE, Data(), ports)


def test_an_event_is_taken_to_its_end_and_the_notes_come_out_in_order(desk, kept, shown):
    assert desk.submit(Make()) == ["begun", "kept"]
    assert shown == ["begun", "kept"]
    assert desk.state is S.DONE
    assert desk.data.made is not None
    assert kept == [("record", frozenset({"pair"}))]


def test_what_has_no_place_is_the_callers_mistake_and_changes_nothing(desk):
    """No peer is here: exit code 5, not 3."""
    desk.submit(Make())
    with pytest.raises(StateError, match="somebody: Make has no place in state DONE") as refused:
        desk.submit(Make())
    assert refused.value.exit_code == 5
    assert isinstance(refused.value.__cause__, Refused)
    assert desk.state is S.DONE


def test_what_is_brought_and_does_not_hold_stays_the_others_mistake(desk):
    with pytest.raises(ProtocolError, match="claim") as refused:
        desk.submit(Claim())
    assert refused.value.exit_code == 3
    assert desk.state is S.IDLE


def test_a_close_with_a_fault_ends_the_run(desk, shown):
    with pytest.raises(EnvironmentFault, match="somebody: keys: label"):
        desk.submit(Make(""))
    assert shown == ["begun", "failing"]
    assert desk.state is S.IDLE


def resting(data: Data) -> S:
    return S.IDLE if data.made is None else S.DONE


@pytest.mark.parametrize("name", ["pair", ""])
def test_an_event_that_is_through_leaves_the_party_at_rest(name, kept):
    """Whether it went well or key memory failed; where that is, whoever has the desk says."""
    ports = Ports(memory("desk"), commit=lambda record, keep: kept.append((record, keep)))
    desk = Desk(TABLE, S.IDLE, Data(), ports, rests=resting)
    if name:
        desk.submit(Make(name))
    else:
        with pytest.raises(EnvironmentFault):
            desk.submit(Make(name))
    assert desk.state is resting(desk.data)


@pytest.mark.parametrize("name", ["pair", ""])
def test_a_party_that_is_left_on_its_way_is_a_mistake_in_its_table(name):
    ports = Ports(memory("desk"), commit=lambda record, keep: None)
    desk = Desk(TABLE, S.IDLE, Data(), ports, rests=lambda _: S.MAKING)
    with pytest.raises(TableError, match="somewhere on its way") as wrong:
        desk.submit(Make(name))
    assert (wrong.value.who, wrong.value.expected) == ("somebody", "MAKING")


def test_there_is_no_link_at_a_desk(desk):
    with pytest.raises(UsageError, match="no link here"):
        desk.submit(Talk())


def test_a_storage_that_fails_goes_up(shown):
    def fail(record: object, keep: object) -> None:
        raise EnvironmentFault("disk full")

    desk = Desk(TABLE, S.IDLE, Data(), Ports(memory("desk"), commit=fail, show=shown.append))
    with pytest.raises(EnvironmentFault, match="disk full"):
        desk.submit(Make())
    assert shown == ["begun"]
