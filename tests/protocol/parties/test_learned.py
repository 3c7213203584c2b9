"""Each party learned as a black box over its wire, with real keys, is the machine that its table promises.

A difference prints the word on which they part. Parties that were broken on purpose are told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from black_box import Promise, learned
from networked_players import QUEUED, UnitWithQueue
from recorder import Recorder
from sync_players import SYNCING, CardBringsLog, CentralReadsLog, CentralReadsOn
from taken_away import Unguarded
from timed_players import IN_TIME, CentralInTime, ModuleAtWorkInTime, ModuleInTime, UnitInTime
from wire_players import PLAYERS, ModuleBeforeCentral, ModuleBeforeUnit, Player, UnitBeforeModule

from insitu.protocol.engine import StartTimer, StopTimer, Table
from insitu.protocol.parties import central_syncing, work_keys
from insitu.protocol.parties.card_syncing import CARD_SYNCING, there_is_so_much
from insitu.protocol.parties.central import CENTRAL
from insitu.protocol.parties.central_data import CentralState
from insitu.protocol.parties.log_verdict import LogHolds
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UNIT, UnitState, a_known_module_proves_possession
from insitu.protocol.parties.work import WORK
from insitu.protocol.parties.work_data import WorkState
from insitu.shell import central as central_shell
from insitu.shell import module as module_shell
from insitu.shell import syncing as syncing_shell
from insitu.shell import unit as unit_shell
from insitu.shell import unit_service
from insitu.shell import work as work_shell
from insitu.shell.visit import Visit

Patch = pytest.MonkeyPatch
ALL = (*PLAYERS, *QUEUED, *SYNCING, *IN_TIME)
SLOWER = (CentralReadsOn, ModuleInTime, CentralInTime)
"""Learned where there is time for the W-method as well, and only there."""
long = pytest.mark.long


@pytest.mark.parametrize("player", [each for each in ALL if each not in SLOWER], ids=lambda player: player.__name__)
def test_what_is_learned_is_what_the_table_promises(player: type[Player], recorded: dict[str, Recorder]):
    found = learned(player, Promise(player, recorded[player.table.name]))
    assert found.difference == ""
    assert found.states > 2


@pytest.mark.long
@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
def test_and_the_w_method_finds_no_difference(
    player: type[Player], recorded: dict[str, Recorder], record_property: Callable[[str, object], None]
):
    """Every transition, and after it every word that tells states apart."""
    found = learned(player, Promise(player, recorded[player.table.name]), more_states=0)
    record_property("states", found.states)
    record_property("words", found.words)
    assert found.difference == ""


# Broken on purpose -------------------------------------------------------------------------------------------


def changed(table: Table[Any, Any], states: Any, action: str, **change: Any) -> Table[Any, Any]:
    """The table with the row of this action changed."""
    rows = [
        replace(each, **change) if each.do is not None and each.do.__name__ == action else each for each in table.rows
    ]
    assert rows != list(table.rows)
    return Table(table.party, states, table.initial, rows, entries=table.entries, name=table.name)


def without(kind: type, table: Table[Any, Any], states: Any, action: str) -> Table[Any, Any]:
    """The table with an action that has no effects of this kind."""
    whole = next(row.do for row in table.rows if row.do is not None and row.do.__name__ == action)

    def do(data: Any, event: Any) -> Any:
        known, effects = whole(data, event)
        return known, [each for each in effects if not isinstance(each, kind)]

    return changed(table, states, action, do=do)


def drop_a_guard(patch: Patch) -> type[Player]:
    """The unit has any key certified, wherever its proof was made."""
    patch.setattr(unit_shell, "UNIT", Unguarded(UNIT, a_known_module_proves_possession))
    return UnitBeforeModule


def redirect(patch: Patch) -> type[Player]:
    """The module that has its certificates does not wait for the signature that makes them count."""
    patch.setattr(module_shell, "MODULE", changed(MODULE, ModuleState, "confirm", then=ModuleState.KEYED))
    return ModuleBeforeUnit


def refuse_less(patch: Patch) -> type[Player]:
    """The module takes instructions before it is welcome."""
    early = (WorkState.CALLING, WorkState.ONLINE)
    patch.setattr(work_shell, "WORK", changed(WORK, WorkState, "take_in", sources=early))
    return ModuleBeforeCentral


def ask_nobody(patch: Patch) -> type[Player]:
    """The unit takes a job that nobody has approved for one that people approved; the card does not."""
    data = Visit.data
    patch.setattr(Visit, "data", lambda visit, serial: replace(data(visit, serial), queued=False))
    return UnitWithQueue


def hand_over_anything(patch: Patch) -> type[Player]:
    """The card's computer does not look whether there is so much of the log."""
    patch.setattr(syncing_shell, "CARD_SYNCING", Unguarded(CARD_SYNCING, there_is_so_much))
    return CardBringsLog


def believe_any_log(patch: Patch) -> type[Player]:
    """The table is as it was; whoever verifies logs finds that all hold."""
    patch.setattr(syncing_shell, "verdict_on", lambda claim: LogHolds(claim.known))
    return CentralReadsLog


def let_logs_shrink(patch: Patch) -> type[Player]:
    """Nobody compares how far a log was read."""
    patch.setattr(central_syncing, "check_not_shorter", lambda *_: None)
    return CentralReadsOn


def never_lose_patience(patch: Patch) -> type[Player]:
    """The unit that waits for people does not say how long."""
    patch.setattr(unit_service, "UNIT", without(StartTimer, UNIT, UnitState, "await_people"))
    return UnitInTime


def hear_no_answer(patch: Patch) -> type[Player]:
    """The module at work goes on waiting for an answer that it has."""
    patch.setattr(work_keys, "_heard", lambda _: [])
    return ModuleAtWorkInTime


def wait_for_the_busy(patch: Patch) -> type[Player]:
    """The central system goes on waiting for a module that said it will take the command later."""
    patch.setattr(central_shell, "CENTRAL", without(StopTimer, CENTRAL, CentralState, "put_off"))
    return CentralInTime


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (drop_a_guard, "a proof of another channel: Certificates (the table promises: fault UNTRUSTED, closed)"),
        (redirect, "certificates: fault UNEXPECTED, closed (the table promises: Personalized, closed)"),
        (refuse_less, "an instruction: Received (the table promises: fault UNEXPECTED, closed)"),
        (ask_nobody, "my key: fault UNAVAILABLE, closed (the table promises: ApprovalAwaited)"),
        (hand_over_anything, "more than there is: LogPart (the table promises: fault UNTRUSTED, closed)"),
        (believe_any_log, "the rest, disordered: LogRead, closed (the table promises: fault UNTRUSTED, closed)"),
        pytest.param(
            let_logs_shrink, "it is shorter: LogWanted (the table promises: fault UNTRUSTED, closed)", marks=long
        ),
        pytest.param(
            never_lose_patience,
            "the wait for person is over: - (the table promises: fault TIMEOUT, closed)",
            marks=long,
        ),
        (hear_no_answer, "the wait for peer is over: fault TIMEOUT, closed (the table promises: -)"),
        pytest.param(
            wait_for_the_busy, "the wait for command is over: fault TIMEOUT, closed (the table promises: -)", marks=long
        ),
    ],
    ids=[
        *("guard", "destination", "refusal", "queue", "any part", "any log", "a shorter log"),
        *("patience", "an answer", "no receipt"),
    ],
)
def test_a_broken_party_is_told_apart(break_it: Any, word: str, recorded: dict[str, Recorder], monkeypatch: Patch):
    player = break_it(monkeypatch)
    found = learned(player, Promise(player, recorded[player.table.name]))
    assert word in found.difference, found.difference
