"""Each party learned as a black box over its wire, with real keys, is the machine that its table promises.

A difference prints the word on which they part. Three parties that were broken on purpose are told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from black_box import Promise, learned
from networked_players import QUEUED, UnitWithQueue
from recorder import Recorder
from taken_away import Unguarded
from wire_players import PLAYERS, ModuleBeforeCentral, ModuleBeforeUnit, Player, UnitBeforeModule

from insitu.protocol.engine import Table
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UNIT, a_known_module_proves_possession
from insitu.protocol.parties.work import WORK
from insitu.protocol.parties.work_data import WorkState
from insitu.shell import module as module_shell
from insitu.shell import unit as unit_shell
from insitu.shell import work as work_shell
from insitu.shell.visit import Visit

Patch = pytest.MonkeyPatch
ALL = (*PLAYERS, *QUEUED)


@pytest.mark.parametrize("player", ALL, ids=lambda player: player.__name__)
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


@pytest.mark.parametrize(
    ("break_it", "word"),
    [
        (drop_a_guard, "a proof of another channel: Certificates (the table promises: fault UNTRUSTED, closed)"),
        (redirect, "certificates: fault UNEXPECTED, closed (the table promises: Personalized, closed)"),
        (refuse_less, "an instruction: Received (the table promises: fault UNEXPECTED, closed)"),
        (ask_nobody, "my key: fault UNAVAILABLE, closed (the table promises: ApprovalAwaited)"),
    ],
    ids=["guard", "destination", "refusal", "queue"],
)
def test_a_broken_party_is_told_apart(break_it: Any, word: str, recorded: dict[str, Recorder], monkeypatch: Patch):
    player = break_it(monkeypatch)
    found = learned(player, Promise(player, recorded[player.table.name]))
    assert word in found.difference, found.difference
