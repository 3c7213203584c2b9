"""Parties led by their own tables: at each step one of the events that the state has a row for, or one that it has not.

The rules of each machine are made from the production table: one for every event that it knows and its alphabet has,
allowed where `Table.accepts` says so, and one for what has no place. Keys and cryptography are real; the module's store
is a sealed file on a disk in memory, whose power fails at any call and which may lose what was not synced. After each
step the invariants are looked at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from black_box import Player
from crash_lives import module_is_sound
from hypothesis import Phase, settings
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from led_lives import DiskLife, Life, led_by
from proof_players import (
    ModuleHasMobile,
    ModuleKnowsSecret,
    UnitAsksForTicket,
    UnitAwaitsMobile,
    UnitKnowsSecret,
    UnitProvesKey,
)
from wire_players import (
    CardBeforeCentral,
    CentralBeforeCard,
    CentralBeforeModule,
    CentralThatResets,
    ModuleBeforeCentral,
    ModuleBeforeUnit,
    ModuleOnCable,
    UnitBeforeModule,
    UnitOnCable,
)
from world import World

from insitu.protocol.channel.trust import MOST_WRONG, SECRET, AttemptAdmitted
from insitu.protocol.engine import Effects, InsituError, Send, Table
from insitu.protocol.messages import IDENTITY, ModuleCondition, ModuleRecord, Proof, ResetCommand, ResetDone
from insitu.protocol.parties.module_data import MANUFACTURED
from insitu.protocol.parties.work import WORK, erase
from insitu.protocol.parties.work_data import WorkData, WorkState
from insitu.protocol.stores.registry import Standing
from insitu.shell import work as work_shell
from insitu.shell.module import Module
from insitu.simulate.disk import PowerCut

SERIAL = "SN-disk"
SHORT = settings(max_examples=6, stateful_step_count=25, phases=(Phase.generate,))
"""Without the phase that explains: it watches every line, which takes minutes here."""


# The module, before units and central systems ----------------------------------------------------------------


class ModuleLife(DiskLife):
    """One module with its store on a disk; units and its central system meet it in any order, also at once."""

    kind: type[ModuleBeforeUnit] = ModuleBeforeUnit
    kept: frozenset[str] = frozenset({IDENTITY, MANUFACTURED})

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.vaults[SERIAL] = self.made()  # type: ignore[assignment]
        self.module = self.world.new_module(SERIAL, manufactured_key=True)
        self.told = 0
        self.before = self.module.record
        self.take_up()

    def take_up(self) -> None:
        """Whoever meets the module meets this one."""
        self.unit = self.kind(self.world, self.module)
        self.central = ModuleBeforeCentral(self.world, self.module)

    @property
    def players(self) -> tuple[Player, ...]:
        """Whoever meets it."""
        return self.unit, self.central

    def come_up(self) -> None:
        """Memory is gone, and of the disk what was not synced may be."""
        for player in self.players:
            self.note_told(player)
        self.world.vaults[SERIAL] = self.reopened()  # type: ignore[assignment]
        self.module = self.world.blank_module(SERIAL)
        self.take_up()

    def note_told(self, player: Player) -> None:
        """What was acknowledged."""
        got = [] if player.trap is None else player.trap.intruder.got
        self.told = max([self.told, *(each.epoch for each in got if isinstance(each, ResetDone))])

    @invariant()
    def s1_operating_ends_by_a_reset_only(self) -> None:
        """What a module operates with stays until the epoch does not."""
        before, now = self.before, self.module.record
        assert now.epoch >= before.epoch
        if before.condition is ModuleCondition.OPERATING and now.epoch == before.epoch:
            assert (now.condition, now.key, now.module) == (before.condition, before.key, before.module)
            assert (now.customer, now.central) == (before.customer, before.central)
        self.before = now

    @invariant()
    def s2_operating_means_a_chain_and_our_key(self) -> None:
        """And no key but those that the record speaks of, but for one that a session is about."""
        vault: Any = self.world.vault(SERIAL)
        record = self.module.record
        if not self.unit.is_open and record.condition is ModuleCondition.OPERATING:
            module_is_sound(vault)
        if not self.unit.is_open and record.condition is not ModuleCondition.OPERATING:
            assert vault.labels() <= self.kept

    @invariant()
    def s3_what_was_acknowledged_is_erased(self) -> None:
        """A reset is told when it has happened, and it stays."""
        self.note_told(self.central)
        record: ModuleRecord = self.module.record
        assert record.epoch >= self.told

    @invariant()
    def the_disk_says_the_same(self) -> None:
        """What a party goes by is what it would find after a cut right now: nothing is durable in memory only."""
        assert Module(self.found()).record == self.module.record

    def teardown(self) -> None:
        """The links end."""
        for player in (self.unit, self.central):
            player.leave()


class ModuleCertified(ModuleLife):
    """By certificates."""

    locals().update(led_by(lambda me: me.unit, ModuleBeforeUnit, "unit"))
    locals().update(led_by(lambda me: me.central, ModuleBeforeCentral, "central"))


class ModuleByCable(ModuleLife):
    """By the physical option."""

    kind = ModuleOnCable
    locals().update(led_by(lambda me: me.unit, ModuleOnCable, "unit"))
    locals().update(led_by(lambda me: me.central, ModuleBeforeCentral, "central"))


class ToldASecret(ModuleKnowsSecret):
    """It may be personalized, too."""

    letters = (*ModuleKnowsSecret.letters, *ModuleBeforeUnit.letters[3:5])


class WithAMobile(ModuleHasMobile):
    """Likewise."""

    letters = (*ModuleHasMobile.letters, *ModuleBeforeUnit.letters[3:5])


class ModuleBySecret(ModuleLife):
    """By a secret: an attempt is on the disk before the module says anything that a guess could be tried on."""

    kind = ToldASecret
    kept = frozenset({IDENTITY, MANUFACTURED, SECRET})
    locals().update(led_by(lambda me: me.unit, ToldASecret, "unit"))
    locals().update(led_by(lambda me: me.central, ModuleBeforeCentral, "central"))

    @invariant()
    def an_attempt_is_counted_before_it_is_made(self) -> None:
        """And no more than there may be are admitted."""
        record = self.module.record
        assert (record.wrong or 0) <= MOST_WRONG
        if self.unit.is_open and self.unit.live.victim.session._stage is not None:
            said = any(isinstance(each, Proof) for each in self.unit.live.intruder.got)
            assert (record.wrong or 0) > 0 or not said


class ModuleByMobile(ModuleLife):
    """By a number that is conveyed."""

    kind = WithAMobile
    locals().update(led_by(lambda me: me.unit, WithAMobile, "unit"))
    locals().update(led_by(lambda me: me.central, ModuleBeforeCentral, "central"))


# The others --------------------------------------------------------------------------------------------------


class CentralLife(Life):
    """A central system, restarted now and then with its registry."""

    kind: type[CentralBeforeModule] = CentralBeforeModule

    def __init__(self) -> None:
        super().__init__()
        self.peer = self.kind()
        self.before = self.peer.world.entry()

    @rule()
    def power_fails(self) -> None:
        """Sessions are gone; registry and key are not."""
        if self.peer.trap is not None:
            self.peer.leave()
        self.peer.world.central = self.peer.world.started_central()

    @invariant()
    def s4_and_s10_numbers_only_grow(self) -> None:
        """And what was struck off stays so, as long as nobody shows a newer certificate."""
        before, now = self.before, self.peer.world.entry()
        assert now.last_number >= before.last_number
        assert now.generation >= before.generation
        assert now.version >= before.version
        if before.standing is not Standing.OPERATING:
            assert now.standing in (before.standing, Standing.RESET)
        self.before = now

    def teardown(self) -> None:
        """The link ends."""
        self.peer.leave()


class CentralWorks(CentralLife):
    """Business."""

    locals().update(led_by(lambda me: me.peer, CentralBeforeModule, "module"))


class CentralResets(CentralLife):
    """A reset is due: nobody gets online by the old certificate."""

    kind = CentralThatResets
    locals().update(led_by(lambda me: me.peer, CentralThatResets, "module"))

    @invariant()
    def s4_nobody_gets_in(self) -> None:
        """The certificate is good for the reset and nothing else."""
        if self.peer.is_open:
            assert self.peer.live.victim.session.state.name not in ("ONLINE", "DECIDING", "CHECKING", "SETTLING")


def once(kind: type[Player]) -> type[Life]:
    """A machine for a party that meets its peer once."""

    class Once(Life):
        def __init__(self) -> None:
            super().__init__()
            self.peer = kind()

        @property
        def has_ended(self) -> bool:
            return self.peer.trap is not None and not self.peer.is_open

        @precondition(lambda self: self.has_ended)
        @rule()
        def and_once_more(self) -> None:
            self.peer = kind()

        @invariant()
        def what_ended_stays_ended(self) -> None:
            """And it ended in a state that says so."""
            if self.has_ended:
                assert not self.peer.table.accepts(self.peer.trap.victim.session.state)

        def teardown(self) -> None:
            self.peer.leave()

    return type(kind.__name__, (Once,), led_by(lambda me: me.peer, kind, "peer"))


LIVES: tuple[type[Life], ...] = (
    *(ModuleCertified, ModuleByCable, ModuleBySecret, ModuleByMobile, CentralWorks, CentralResets),
    *(once(kind) for kind in (UnitBeforeModule, UnitOnCable, CardBeforeCentral, CentralBeforeCard)),
    *(once(kind) for kind in (UnitProvesKey, UnitKnowsSecret, UnitAsksForTicket, UnitAwaitsMobile)),
)


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_led_by_its_table(life: type[Life]):
    run_state_machine_as_test(life, settings=settings(SHORT, derandomize=True))


@pytest.mark.long
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_led_by_its_table_for_long(life: type[Life]):
    run_state_machine_as_test(life, settings=settings(SHORT, max_examples=40, stateful_step_count=50))


# The invariants are no decoration -----------------------------------------------------------------------------


def lead(life: ModuleLife, *steps: str) -> None:
    """Through these steps: "unit" or "central", and the letter."""
    for step in steps:
        who, _, name = step.partition(": ")
        player = {"unit": life.unit, "central": life.central}[who]
        life.happen(player, next(letter for letter in player.letters if letter.name == name))


PERSONALIZED = ("unit: meet", "unit: make a new key", "unit: certificates")


def check(life: ModuleLife) -> None:
    """All invariants of a module."""
    life.s1_operating_ends_by_a_reset_only()
    life.s2_operating_means_a_chain_and_our_key()
    life.s3_what_was_acknowledged_is_erased()
    life.the_disk_says_the_same()


def test_a_life_that_breaks_nothing():
    life = ModuleCertified()
    lead(life, *PERSONALIZED)
    check(life)
    assert life.module.record.condition is ModuleCondition.OPERATING
    lead(life, "central: meet", "central: a reset?", "central: reset")
    check(life)
    assert (life.module.record.condition, life.told) == (ModuleCondition.RESET, 1)
    lead(life, *PERSONALIZED)
    life.go_dark(0)
    check(life)
    assert life.module.record.condition is ModuleCondition.OPERATING


def test_a_reset_that_is_told_first_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """S3, as power fails at the write that should have come before."""
    rows = [
        replace(each, do=told_first) if each.do is not None and each.do.__name__ == "erase" else each
        for each in WORK.rows
    ]
    broken = Table(WORK.party, WorkState, WORK.initial, rows, entries=WORK.entries, name=WORK.name)
    monkeypatch.setattr(work_shell, "WORK", broken)
    life = ModuleCertified()
    lead(life, *PERSONALIZED, "central: meet", "central: a reset?")
    life.disk.before_call = power_cut
    with pytest.raises(PowerCut):
        lead(life, "central: reset")
    life.go_dark(0)
    with pytest.raises(AssertionError):
        life.s3_what_was_acknowledged_is_erased()


def told_first(data: WorkData, event: ResetCommand) -> tuple[WorkData, Effects]:
    """The effects of `erase`, with the message before the write."""
    known, effects = erase(data, event)
    return known, sorted(effects, key=lambda effect: not isinstance(effect, Send))


def power_cut(number: int, name: str) -> None:
    """At the next call."""
    raise PowerCut


def test_an_operating_module_that_changes_is_noticed():
    """S1."""
    life = ModuleCertified()
    lead(life, *PERSONALIZED)
    check(life)
    other = replace(life.module.record, module=life.world.central_certificate)
    life.module._keeping.commit(other, life.world.vault(SERIAL).labels())
    with pytest.raises(AssertionError):
        life.s1_operating_ends_by_a_reset_only()
    with pytest.raises(InsituError):
        life.s2_operating_means_a_chain_and_our_key()


def test_an_attempt_that_nobody_counted_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """A module that says its proof, on which a guess can be tried, without a word on its disk."""
    life = ModuleBySecret()
    lead(life, "unit: meet", "unit: a share")
    life.an_attempt_is_counted_before_it_is_made()
    assert life.module.record.wrong == 1
    lead(life, "unit: the right proof", *PERSONALIZED[1:])
    check(life)
    assert (life.module.record.condition, life.module.record.wrong) == (ModuleCondition.OPERATING, None)
    life = ModuleBySecret()
    monkeypatch.setattr(Module, "_count", lambda *_: AttemptAdmitted())
    lead(life, "unit: meet", "unit: a share")
    with pytest.raises(AssertionError):
        life.an_attempt_is_counted_before_it_is_made()


def test_the_rules_are_those_of_the_tables():
    """Those that are named have a rule each; orders of the controller are for the tests of the module at work."""
    for life in LIVES[:2]:
        names = set(dir(life))
        for event in (
            *("ChannelOpened", "GenerateKeyPair", "ApprovalAwaited", "Certificates", "ChannelLost", "DeadlinePassed"),
            "out_of_place",
        ):
            assert f"unit_{event}" in names
        for event in ("Welcome", "Instruct", "LoadKey", "ResetRequest", "ResetCommand", "ResetByHand", "out_of_place"):
            assert f"central_{event}" in names
