"""Unit, card and central system led by their tables while what is durable fails: a card's disk, a registry's commit.

What a peer was told, or what a person holds in hands, is on the disk or in the registry by then: old state or new, and
nothing in between. test_party_lives.py has modules, and lives in which nothing fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from typing import Any

import pytest
from black_box import Player
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from led_lives import DiskLife, Life, led_by
from wire_players import CentralBeforeModule, UnitBeforeModule
from world import DAY, NOW, PINS, SERIAL, Seeded, World

from insitu.protocol.engine import InsituError, KeyKind
from insitu.protocol.keys.vault import MemoryVault, SealedVault, Vault
from insitu.protocol.messages import CardRole, Certificates, PayOut, PeopleChange, Received
from insitu.protocol.parties.card import CARD
from insitu.protocol.parties.card_data import CardState
from insitu.protocol.stores.card_log import Intent, ListIntent, LogEntry, Result, verify_chain
from insitu.protocol.stores.registry import Change, RegistryAway
from insitu.protocol.stores.sealed import StoreKind
from insitu.shell.card import Card
from insitu.simulate.disk import PowerCut

SHORT = settings(max_examples=6, stateful_step_count=25, phases=(Phase.generate,))
"""Without the phase that explains: it watches every line, which takes minutes here."""


class CardLife(DiskLife):
    """A life with a card whose store is on a disk.

    Attributes:
        given: what left the card, DER: certificates and lists.
        log: as it was found on the disk last.

    """

    store = StoreKind.CARD

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.vaults["card"] = moved(self.world.vault("card"), self.made())  # type: ignore[assignment]
        self.world.card = self.world.blank_card()
        self.given: list[bytes] = []
        self.log: tuple[LogEntry, ...] = ()

    @property
    def on_disk(self) -> Card:
        """The card as it would be found after a cut now."""
        return Card(self.found(), now=self.world.clock, entropy=Seeded("looked"))

    def come_up(self) -> None:
        """The card is put in again."""
        self.world.vaults["card"] = self.reopened()  # type: ignore[assignment]
        self.world.card = self.world.blank_card()

    @invariant()
    def its_log_is_whole_and_only_grows(self) -> None:
        """And two different people stand behind each signature, once for each approval (S6)."""
        log = self.on_disk.log.log
        verify_chain(log)
        assert log[: len(self.log)] == self.log
        intents = [entry.what for entry in log if isinstance(entry.what, (Intent, ListIntent))]
        assert all(len(set(intent.approvers)) == 2 for intent in intents)
        assert len({intent.job for intent in intents}) == len(intents)
        self.log = log

    @invariant()
    def what_it_signed_is_in_its_log(self) -> None:
        """Nothing leaves the card that the log on the disk does not have."""
        known = {entry.what.fingerprint for entry in self.log if isinstance(entry.what, Result)}
        assert {sha256(der).digest() for der in self.given} <= known

    @invariant()
    def the_disk_says_the_same(self) -> None:
        """What the card goes by is what it would find."""
        assert self.on_disk.record.jobs == self.world.card.record.jobs


def moved(there: Vault, new: SealedVault) -> SealedVault:
    """The new vault, with all that is in the other one."""
    assert isinstance(there, MemoryVault)
    for label in there.labels():
        pair = there.find(label)
        assert pair is not None
        new._keys.restore_sealed(label, pair.public.kind, there._keys.private_bytes_for_sealing(label))
    assert there.record is not None
    new.commit(there.record, there.labels())
    return new


# The unit ----------------------------------------------------------------------------------------------------


class UnitOnDisk(UnitBeforeModule):
    """A unit in a world that others have made, with a job that is approved if it can be."""

    def __init__(self, world: World) -> None:
        Player.__init__(self)
        self.world, self.own = world, None
        self.world.approved(CardRole.MODULE, SERIAL)


class UnitFails(CardLife):
    """A unit with its card, whose power fails; modules come as often as they are let."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = UnitOnDisk(self.world)

    @property
    def players(self) -> tuple[Player, ...]:
        """The module."""
        return (self.peer,)

    def come_up(self) -> None:
        """The unit's machine comes up, with the card in it."""
        self.take_note()
        super().come_up()
        self.peer = UnitOnDisk(self.world)

    @precondition(lambda self: self.peer.trap is not None and not self.peer.is_open)
    @rule()
    def and_once_more(self) -> None:
        """The next session."""
        self.take_note()
        self.peer = UnitOnDisk(self.world)

    @invariant()
    def take_note(self) -> None:
        """Of what the module got."""
        got = [] if self.peer.trap is None else self.peer.live.intruder.got
        new = [each.module for each in got if isinstance(each, Certificates)]
        self.given += [der for der in new if der not in self.given]

    def teardown(self) -> None:
        """The link ends."""
        self.peer.leave()


UnitFailing: type[Life] = type("UnitFailing", (UnitFails,), led_by(lambda me: me.peer, UnitOnDisk, "module"))


# The card ----------------------------------------------------------------------------------------------------

People = st.sampled_from(sorted(PINS))


class CardFails(CardLife):
    """A card and its two people, who do whatever its table has a row for, in any order; its power fails."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Any] = [self.world.approved(CardRole.MODULE, "SN-approved")]
        self.cut: tuple[int, int] | None = None
        self.revoked: set[bytes] = set()
        self.key = self.world.vault("other").generate("x", KeyKind.P256, b"").public

    @property
    def players(self) -> tuple[Player, ...]:
        """Nobody at a wire."""
        return ()

    @property
    def card(self) -> Card:
        """The card."""
        return self.world.card

    @rule(number=st.integers(0, 12), seed=st.integers(0, 50))
    def power_fails_within(self, number: int, seed: int) -> None:  # type: ignore[override]
        """At one of the next calls of the disk, in whatever is done next."""
        self.cut = number, seed

    def do(self, what: Callable[[], Any]) -> Any:
        """Do something; None where the card refuses, or its power fails."""
        done: list[Any] = []

        def attempt() -> None:
            with suppress(InsituError):
                done.append(what())

        cut, self.cut = self.cut, None
        if cut is None:
            attempt()
        else:
            self.cut_at(*cut, attempt)
        return done[0] if done else None

    def propose(self, what: Callable[[], Any]) -> None:
        """One more job."""
        job = self.do(what)
        self.jobs += [] if job is None else [job]

    @invariant()
    def nothing_that_was_revoked_comes_back(self) -> None:
        """S5."""
        now = set(self.card.revoked)
        assert self.revoked <= now
        self.revoked = now


DEEDS: dict[str, Callable[[CardFails, Any, str], None]] = {
    "JobProposed": lambda me, _, who: me.propose(lambda: me.card.propose(CardRole.MODULE, f"SN-{who}")),
    "Approve": lambda me, job, who: me.do(lambda: me.card.approve(job, who, PINS[who])),
    "ApprovalWithdrawn": lambda me, job, who: me.do(lambda: me.card.withdraw_approval(job.number, who)),
    "CertificateWanted": lambda me, job, _: certify(me, lambda: me.card.certify(job.number, me.key)),
    "PinChanged": lambda me, _, who: me.do(lambda: me.card.change_pin(who, PINS[who], PINS[who])),
    "PeopleProposed": lambda me, _, who: me.propose(
        lambda: me.card.propose_change(PeopleChange.ADD, f"{who}'s friend", pin=b"1234567")
    ),
    "PeopleWanted": lambda me, job, _: me.do(lambda: me.card.change_people(job.number)),
    "HeadWanted": lambda me, _, __: me.do(lambda: me.card.signed_log),
    "ListProposed": lambda me, _, __: me.propose(lambda: me.card.propose_list([me.card.number_of(me.card.unit)])),
    "ListWanted": lambda me, job, _: certify(me, lambda: me.card.sign_list(job.number)),
    "ListHeard": lambda me, _, __: me.do(lambda: me.card.heed(me.world.revocations())),
    "StandingProposed": lambda me, _, who: me.propose(
        lambda: me.card.propose_standing([f"SN-{who}"], most=2, until=NOW + DAY)
    ),
    "StandingWanted": lambda me, job, _: me.do(lambda: me.card.bring_into_force(job.number)),
    "StandingWithdrawn": lambda me, job, _: me.do(lambda: me.card.withdraw(job.number)),
    "TicketsWanted": lambda me, job, _: me.do(lambda: me.card.order_tickets(job.number)),
}
"""What people do, by the event that the card's table hears of."""
ELSEWHERE = {
    *("ApprovalsOutlived", "HalvesTaken"),  # with a signing token
    *("ReceiptCame", "StandingUsed", "TicketPresented"),  # which others bring
}


def certify(me: CardFails, what: Callable[[], bytes | None]) -> None:
    """Something that the card signs."""
    der = me.do(what)
    me.given += [] if der is None else [der]


def deeds() -> dict[str, Any]:
    """A rule for each event of the table."""
    rules: dict[str, Any] = {}
    for event, do in DEEDS.items():

        def on(self: CardFails, data: st.DataObject, who: str, do: Callable[..., None] = do) -> None:
            do(self, data.draw(st.sampled_from(self.jobs[-2:])) if self.jobs else None, who)

        def allowed(self: CardFails, event: str = event) -> bool:
            known = event in {each.__name__ for each in CARD.accepts(CardState.READY)}
            return known and (bool(self.jobs) or event not in NEED_JOBS)

        on.__name__ = f"card_{event}"
        rules[on.__name__] = precondition(allowed)(rule(data=st.data(), who=People)(on))
    return rules


NEED_JOBS = {"Approve", "ApprovalWithdrawn", "CertificateWanted", "PeopleWanted", "ListWanted", "StandingWanted"}
NEED_JOBS |= {"StandingWithdrawn", "TicketsWanted"}
CardFailing: type[Life] = type("CardFailing", (CardFails,), deeds())


# The central system ------------------------------------------------------------------------------------------


class CentralFails(Life):
    """A central system whose registry writes all of a change or nothing, and may be gone before or after."""

    def __init__(self) -> None:
        super().__init__()
        self.peer = CentralBeforeModule()
        self.world = self.peer.world

    @contextmanager
    def failing(self, error: BaseException, *, done: bool) -> Iterator[None]:
        """The next commit fails so; after it was done, where `done`."""
        registry = self.world.central.registry
        commit = registry.commit

        def fail(change: Change, *, at: int) -> None:
            if done:
                commit(change, at=at)
            raise error

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(registry, "commit", fail)
            yield

    def some(self, data: st.DataObject) -> Callable[[], object]:
        """Something that the table has a row for."""
        accepted = self.accepts(self.peer)
        letters = [letter for letter in self.peer.letters if letter.event in accepted]
        if not letters:
            return lambda: None
        letter = data.draw(st.sampled_from(letters))
        return lambda: self.happen(self.peer, letter)

    @rule(data=st.data(), done=st.booleans())
    def power_fails_within(self, data: st.DataObject, done: bool) -> None:
        """At the next write."""
        do = self.some(data)
        with suppress(PowerCut), self.failing(PowerCut(), done=done):
            do()
            return
        self.note_told()
        self.peer.live.victim.abandon()
        self.peer.trap = None
        self.world.central = self.world.started_central()

    @rule(data=st.data())
    def the_registry_is_away(self, data: st.DataObject) -> None:
        """At the next write, which has not happened."""
        do, before = self.some(data), self.world.entry()
        with self.failing(RegistryAway("the registry does not answer", who="registry"), done=False):
            do()
        assert self.world.entry() == before

    @invariant()
    def note_told(self) -> None:
        """What a module was told is there: decisions, and what was taken in (L10, S10)."""
        got = [] if self.peer.trap is None else self.peer.live.intruder.got
        registry, entry = self.world.central.registry, self.world.entry()
        for each in got:
            if isinstance(each, PayOut):
                transaction = registry.transaction(SERIAL, each.number)
                assert transaction is not None
                assert transaction.approved is each.approved
            elif isinstance(each, Received):
                assert each.number <= entry.last_number

    def teardown(self) -> None:
        """The link ends."""
        self.peer.leave()


CentralFailing: type[Life] = type(
    "CentralFailing", (CentralFails,), led_by(lambda me: me.peer, CentralBeforeModule, "module")
)
LIVES = (UnitFailing, CardFailing, CentralFailing)


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_led_by_its_table_while_what_is_durable_fails(life: type[Life]):
    run_state_machine_as_test(life, settings=settings(SHORT, derandomize=True))


@pytest.mark.long
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_and_for_long(life: type[Life]):
    run_state_machine_as_test(life, settings=settings(SHORT, max_examples=40, stateful_step_count=50))


def test_the_rules_of_a_card_are_those_of_its_table():
    assert {each.__name__ for each in CARD.accepts(CardState.READY)} == DEEDS.keys() | ELSEWHERE


# The invariants are no decoration -----------------------------------------------------------------------------


def test_a_certificate_without_an_entry_is_noticed():
    """As if the card had signed first and written then."""
    life = UnitFails()
    for name in ("meet", "my key"):
        life.happen(life.peer, next(letter for letter in life.peer.letters if letter.name == name))
    life.take_note()
    life.its_log_is_whole_and_only_grows()
    life.what_it_signed_is_in_its_log()
    assert len(life.given) == 1
    life.log = life.log[:-1]
    with pytest.raises(AssertionError):
        life.what_it_signed_is_in_its_log()


def test_a_card_that_signs_by_its_rules():
    """And one whose list is not in its log."""
    life = CardFails()
    for event, who in (("JobProposed", "bob"), ("Approve", "alice"), ("Approve", "bob"), ("CertificateWanted", "bob")):
        DEEDS[event](life, life.jobs[-1] if life.jobs else None, who)
        life.its_log_is_whole_and_only_grows()
        life.what_it_signed_is_in_its_log()
        life.the_disk_says_the_same()
    assert len(life.given) == 1
    life.cut = 3, 0
    DEEDS["ListProposed"](life, None, "bob")
    assert not life.disk.broken
    life.its_log_is_whole_and_only_grows()
    life.given.append(b"a list that nobody signed")
    with pytest.raises(AssertionError):
        life.what_it_signed_is_in_its_log()


def test_an_answer_that_was_not_written_is_noticed(monkeypatch: pytest.MonkeyPatch):
    life = CentralFails()
    monkeypatch.setattr(life.world.central.registry, "commit", lambda change, *, at: None)
    for name in ("meet", "greeting", "may it?"):
        life.happen(life.peer, next(letter for letter in life.peer.letters if letter.name == name))
    with pytest.raises(AssertionError):
        life.note_told()
