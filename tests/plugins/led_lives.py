"""Lives that are led by a party's own table, for Hypothesis: rules made from it, and power that fails at any call.

A rule for every event that a table knows and an alphabet has, allowed where `Table.accepts` says so, and one for what
has no place. Where a party's store lies on a disk in memory, power fails between two steps or at any call of the disk
within one, and of what was not synced anything may be lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from black_box import Letter, Player
from crash_lives import PASSPHRASE, STORE, reopened
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from world import Seeded

from insitu.protocol.engine import InsituError
from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.stores.sealed import Cost, StoreKind
from insitu.simulate.disk import CrashDisk, PowerCut


class Life(RuleBasedStateMachine):
    """What all machines share: a party, its alphabet by event, and what is compared from step to step."""

    player: Player

    def accepts(self, player: Player) -> frozenset[str]:
        """The names of the events that the party's state has a row for now."""
        if not player.is_open:
            return frozenset({"ChannelOpened"}) if player.may_meet() else frozenset()
        session = player.live.victim.session
        accepts = player.table.accepts(session.state) if session._stage is None else session._stage.accepts
        return frozenset(event.__name__ for event in accepts)

    def durable(self) -> object:
        """What must not change by what is refused."""
        return None

    def happen(self, player: Player, letter: Letter) -> str:
        """Let it happen: our errors only, and where there is no row, nothing but the end of the session."""
        has_place, was_open, before = letter.event in self.accepts(player), player.is_open, self.durable()
        try:
            said = player.hear(letter)
        except InsituError as error:  # a session cannot be had now
            said = f"raised {error}"
        if not player.is_open:
            player.leave()
        if has_place or not was_open:
            return said
        assert self.durable() == before
        if not letter.own:
            assert not player.is_open
            assert player.live.victim.session.error is not None
        return said


def led_by(player: Callable[[Any], Player], kind: type[Player], prefix: str) -> dict[str, Any]:
    """Rules for a machine: one for each event of the table that the alphabet has, one for what has no place."""
    table, letters = kind.table, kind.letters
    known = {*table.events, *(() if kind.stage is None else kind.stage.events)}
    names = sorted(event.__name__ for event in known)
    events = [name for name in names if any(letter.event == name for letter in letters)]
    assert events
    sayable = [letter for letter in letters if letter.say is not None or letter.own]
    rules: dict[str, Any] = {}
    for event in events:
        meant = [letter for letter in letters if letter.event == event]

        def on(self: Life, letter: Letter) -> None:
            self.happen(player(self), letter)

        def allowed(self: Life, event: str = event) -> bool:
            return event in self.accepts(player(self))

        on.__name__ = f"{prefix}_{event}"
        rules[on.__name__] = precondition(allowed)(rule(letter=st.sampled_from(meant))(on))

    def out_of_place(self: Life, data: st.DataObject) -> None:
        accepted = self.accepts(player(self))
        strangers = [letter for letter in sayable if letter.event not in accepted]
        self.happen(player(self), data.draw(st.sampled_from(strangers)))

    rules[f"{prefix}_out_of_place"] = precondition(lambda self: player(self).is_open)(
        rule(data=st.data())(out_of_place)
    )
    return rules


class DiskLife(Life):
    """A life whose party has its store on a disk.

    Attributes:
        store: whose it is.
        disk: where it lies.

    """

    store: StoreKind = StoreKind.MODULE

    def __init__(self) -> None:
        super().__init__()
        self.disk = CrashDisk()
        self.entropy = Seeded("store")

    def made(self) -> SealedVault:
        """The store, new, with nothing in it."""
        about: dict[str, Any] = {"entropy": self.entropy, "cost": Cost(n=2, r=1), "repeatable": True}
        return SealedVault.create(STORE, self.store, PASSPHRASE, files=self.disk, **about)

    def durable(self) -> object:
        """The record and the keys, as on the disk."""
        found = self.found()
        return found.record, found.labels()

    @property
    def players(self) -> tuple[Player, ...]:
        """Whoever meets the party."""
        raise NotImplementedError

    def come_up(self) -> None:
        """The party begins anew, with its store as it is found on the disk."""
        raise NotImplementedError

    def found(self) -> SealedVault:
        """The store as it would be found after a cut now, if the disk kept no more than it must."""
        return reopened(self.disk.copy().survivors(0), self.store, Seeded("looked"))

    def reopened(self) -> SealedVault:
        """The store as it is found."""
        return reopened(self.disk, self.store, self.entropy)

    @rule(seed=st.integers(0, 50))
    def power_fails(self, seed: int) -> None:
        """Between two steps."""
        self.go_dark(seed)

    @rule(data=st.data(), number=st.integers(0, 12), seed=st.integers(0, 50))
    def power_fails_within(self, data: st.DataObject, number: int, seed: int) -> None:
        """At one of the next calls of the disk, in whatever happens next."""
        player = data.draw(st.sampled_from(self.players))
        accepted = self.accepts(player)
        letters = [letter for letter in player.letters if letter.event in accepted]
        if letters:
            letter = data.draw(st.sampled_from(letters))
            self.cut_at(number, seed, lambda: self.happen(player, letter))

    def cut_at(self, number: int, seed: int, do: Callable[[], object]) -> None:
        """Do something, in which power fails at this call of the disk from now on, if it comes that far."""
        begun = len(self.disk.calls)

        def before(at: int, _: str) -> None:
            if at == begun + number:
                raise PowerCut

        self.disk.before_call = before
        try:
            do()
        except PowerCut:
            self.go_dark(seed)
        self.disk.before_call = lambda number, name: None

    def go_dark(self, seed: int) -> None:
        """Memory is gone, and of the disk what was not synced may be."""
        for player in self.players:
            if player.trap is not None:
                player.trap.victim.abandon()
        self.disk = self.disk.survivors(seed)
        self.come_up()
