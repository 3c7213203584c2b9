"""A unit in the network, without I/O: who may call, who agrees to what, what is said when the card cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from networked import Desk, approve_queued, call, fresh_card, in_force, look, queued, service, with_policy
from pump import Line, personalize, sound
from world import DAY, NOW, PINS, SERIAL, World, shared_secret

from insitu.protocol.engine import Fault, InsituError, LookUp, StateError, UsageError, given
from insitu.protocol.keys.certificates import CertificateRefused
from insitu.protocol.keys.public import compress
from insitu.protocol.messages import CardRole, ModuleTicket, TrustOption, encode_record
from insitu.protocol.messages.tans import UnitRecord
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import CertificateNeeded, ModuleTurnedAway, UnitState
from insitu.protocol.stores.card_log import Intent, LogEntry, StandingBegun
from insitu.protocol.stores.log_lines import import_lines
from insitu.shell.attempts import MOST_FROM_ONE
from insitu.shell.job_list import JobListDamaged
from insitu.shell.unit_service import UnitService
from insitu.shell.visit import APPROVAL_SECONDS, Rules

OPTIONS = (
    TrustOption.CERTIFICATES,
    TrustOption.CERTIFICATES_ONE_WAY,
    TrustOption.TICKET,
    TrustOption.SECRET,
    TrustOption.TAN,
)
options = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.text)


def intents(world: World, serial: str = SERIAL) -> list[Intent]:
    log = [entry.what for entry in _log(world)]
    return [what for what in log if isinstance(what, Intent) and what.subject == serial]


def _log(world: World) -> tuple[LogEntry, ...]:
    return import_lines(fresh_card(world).export_log()).log


def personalized(world: World, line: Line) -> bool:
    """It ended with a module that operates, or with one that is as before."""
    line.finish()
    fresh_card(world)
    sound(world, None)
    return line.peer.result is UnitState.PERSONALIZED and world.module.state is ModuleState.OPERATING


def turned_away(world: World) -> list[Fault]:
    return [note.fault for note in world.shown if isinstance(note, ModuleTurnedAway)]


# Who agrees


@options
def test_what_two_people_approved_beforehand_is_done_at_once(world: World, option):
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    assert personalized(world, call(world, service(world, option), option).start())
    assert [intent.approvers for intent in intents(world)] == [("alice", "bob")]
    assert fresh_card(world).record.jobs == ()


@options
def test_a_module_on_the_list_waits_until_two_people_have_approved_its_key(world: World, option):
    world.equip(option)
    here = service(world, option, jobs=[SERIAL])
    line = call(world, here, option).start()
    assert (line.module.session.state, line.peer.session.state) == (ModuleState.WAITING, UnitState.APPROVING)
    assert line.peer.timers == {"person": APPROVAL_SECONDS}
    assert line.module.timers["peer"] > APPROVAL_SECONDS
    assert (len(here.queue), intents(world)) == (1, [])
    job = queued(world)
    assert job.public_key == compress(given(line.peer.session.data.public))
    for person in PINS:
        look(here)
        line.flow()
        assert line.peer.session.state is UnitState.APPROVING, "one is not enough"
        approve_queued(world, people=[person])
    look(here)
    line.flow()
    assert personalized(world, line)
    assert [(each.job, each.approvers) for each in intents(world)] == [(job.number, ("alice", "bob"))]
    assert len(here.queue) == 0


@options
def test_without_list_or_approval_nothing_is_signed(world: World, option):
    world.equip(option)
    for here in (service(world, option), service(world, option, jobs=["SN-2", "SN-3*"])):
        line = call(world, here, option).start()
        assert not personalized(world, line)
        assert (intents(world), len(here.queue)) == ([], 0)
        assert queued_jobs(world) == []


def queued_jobs(world: World) -> list[str]:
    return [job.subject for job in fresh_card(world).record.jobs if job.public_key is not None]


def test_who_is_not_on_the_list_gains_nothing_by_an_approval(world: World):
    """The list filters also what people have approved; and being on it is no approval."""
    world.approved(CardRole.MODULE, SERIAL)
    assert not personalized(world, call(world, service(world, jobs=["SN-2"])).start())
    assert intents(world) == []
    assert personalized(world, call(world, service(world, jobs=["SN-*"])).start())


def test_a_list_that_is_none_lets_nobody_in(world: World):
    here = service(world, jobs=[SERIAL])
    world.approved(CardRole.MODULE, SERIAL)

    def damaged() -> dict[str, int]:
        raise JobListDamaged("no list", who="unit")

    here._rules.jobs.modules = damaged  # type: ignore[union-attr, method-assign]
    line = call(world, here).start()
    assert not personalized(world, line)
    assert isinstance(line.peer.error, InsituError)
    assert intents(world) == []


# The queue


def test_an_approval_is_for_this_key_alone(world: World):
    """The module's link is lost, it calls again with another key: what people approved for the first counts no more."""
    here = service(world, jobs=[SERIAL])
    first = call(world, here).start()
    old = queued(world)
    approve_queued(world)
    first.cut()
    assert not personalized(world, first)
    second = call(world, here).start()
    new = queued(world)
    assert (new.number, new.public_key) != (old.number, old.public_key)
    assert old not in fresh_card(world).record.jobs, "the newer one takes its place"
    look(here)
    second.flow()
    assert second.peer.session.state is UnitState.APPROVING
    with pytest.raises(StateError, match="no such job"):
        world.card.approve(replace(old, approvals=()), "alice", PINS["alice"])
    approve_queued(world)
    look(here)
    second.flow()
    assert personalized(world, second)
    assert [intent.job for intent in intents(world)] == [new.number]


def test_a_second_session_of_the_same_module_ends_the_wait_of_the_first(world: World):
    here = service(world, jobs=[SERIAL])
    first = call(world, here).start()
    twin = world.blank_module()
    second = call(world, here, module=twin).start()
    look(here)
    first.flow()
    assert first.peer.session.closed
    assert second.peer.session.state is UnitState.APPROVING
    assert "came again" in str(turned_away_reason(world))


def turned_away_reason(world: World) -> str:
    return [note.reason for note in world.shown if isinstance(note, ModuleTurnedAway)][-1]


@pytest.mark.parametrize(
    "option", [TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY], ids=lambda each: each.text
)
@pytest.mark.parametrize("whose", ["module", "customer"])
def test_a_list_that_comes_while_people_are_asked_counts(world: World, option, whose):
    """The manufacturer's (S5): nothing is signed for an identity, or by a customer, that was revoked meanwhile."""
    world.equip(option)
    here = service(world, option, jobs=[SERIAL])
    line = call(world, here, option).start()
    maker = world.manufacturer
    maker.revoke(maker.number_of_module(SERIAL) if whose == "module" else maker.number_of_customer("Bank"))
    fresh_card(world).heed(maker.sign_list())
    approve_queued(world)
    look(here)
    line.flow()
    assert not personalized(world, line)
    assert "is revoked" in str(turned_away_reason(world))
    assert intents(world) == []


def test_people_who_let_the_time_pass_or_take_it_from_the_list(world: World):
    here = service(world, jobs=[SERIAL])
    line = call(world, here).start()
    line.peer.expire("person")
    assert not personalized(world, line)
    assert line.module.error.fault is Fault.TIMEOUT  # type: ignore[union-attr]
    line = call(world, here).start()
    here._rules.jobs.listed.clear()  # type: ignore[union-attr]
    look(here)
    line.flow()
    assert not personalized(world, line)
    assert "not on the job list" in turned_away_reason(world)
    assert (intents(world), len(here.queue)) == ([], 0)


def test_withdrawn_in_the_last_moment_it_is_not_signed(world: World):
    here = service(world, jobs=[SERIAL])
    line = call(world, here).start()
    approve_queued(world)

    def before(effect: object) -> None:
        if isinstance(effect, LookUp) and isinstance(effect.argument, CertificateNeeded):
            here._rules.jobs.listed.clear()  # type: ignore[union-attr]

    line.peer.before = before
    look(here)
    line.flow()
    assert not personalized(world, line)
    assert intents(world) == []


def test_an_approval_runs_out_with_its_job(world: World):
    here = service(world, jobs=[SERIAL])
    line = call(world, here).start()
    approve_queued(world)
    world.clock.at += APPROVAL_SECONDS + 1
    look(here)
    line.flow()
    assert not personalized(world, line)
    assert intents(world) == []


# Standing approvals


def stand(world: World, *serials: str, most: int = 1, until: int = NOW + DAY) -> bytes:
    return in_force(with_policy(world), *serials, most=most, until=until).job


@options
def test_under_a_standing_approval_nobody_is_asked_and_the_log_names_it(world: World, option):
    world.equip(option)
    number = stand(world)
    assert personalized(world, call(world, service(world, option), option).start())
    (intent,) = intents(world)
    assert (intent.standing, intent.approvers) == (number, ("alice", "bob"))
    world.module.reset_by_hand()
    assert not personalized(world, call(world, service(world, option), option).start()), "used up"
    assert len(intents(world)) == 1


@pytest.mark.parametrize("what", ["another module", "too late", "withdrawn"])
def test_a_standing_approval_has_its_limits(world: World, what):
    number = stand(world, "SN-2*" if what == "another module" else SERIAL, most=5)
    if what == "too late":
        world.clock.at += DAY + 1
    if what == "withdrawn":
        world.card.withdraw(number)
    assert not personalized(world, call(world, service(world)).start())
    assert intents(world) == []


def test_withdrawn_while_the_module_makes_its_key(world: World):
    number = stand(world)
    here = service(world)
    line = call(world, here)

    def before(effect: object) -> None:
        if isinstance(effect, LookUp):
            fresh_card(world).withdraw(number)

    line.peer.before = before
    assert not personalized(world, line.start())
    assert intents(world) == []


def test_of_two_that_race_for_the_last_one_a_single_one_gets_it(world: World):
    """Both sessions saw one left; the card judges by its log."""
    stand(world, "SN-*", most=1)
    other = world.new_module("SN-2")
    here = service(world)
    second: list[Line] = []

    def before(effect: object) -> None:
        if isinstance(effect, LookUp) and not second:
            second.append(call(world, here, module=other))
            second[0].start()

    first = call(world, here)
    first.peer.before = before
    assert not personalized(world, first.start())
    assert second[0].finish().peer.result is UnitState.PERSONALIZED
    assert (intents(world), len(intents(world, "SN-2"))) == ([], 1)


def test_a_cut_between_intent_and_signature_has_used_it_up(world: World):
    """Power is gone after the intent is durable: the certificate is never made, and there is one less."""
    number = stand(world, most=2)
    card = world.card
    vault = world.vault("card")
    signed = vault.sign

    def cut(*_: object) -> bytes:
        raise KeyboardInterrupt

    vault.sign = cut  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        card.certify_by_standing(number, card.draft(SERIAL, days=365, seconds=60), card.authentication.public)
    vault.sign = signed  # type: ignore[method-assign]
    assert fresh_card(world).standing[number].left == 1
    assert personalized(world, call(world, service(world)).start())
    assert fresh_card(world).standing[number].left == 0
    begun = [entry.what for entry in _log(world) if isinstance(entry.what, StandingBegun)]
    assert len(begun) == 1


# A card that cannot


def test_a_card_that_others_wait_for_is_said_to_be_busy(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    here = service(world)
    places = here._desk._places
    while places.acquire(blocking=False):
        pass
    line = call(world, here).start()
    assert not personalized(world, line)
    assert line.module.error.fault is Fault.BUSY  # type: ignore[union-attr]
    assert turned_away(world) == [Fault.BUSY]
    for _ in range(16):
        places.release()
    assert personalized(world, call(world, here).start()), "nothing was used up"


def test_a_card_that_wrong_pins_have_locked_is_said_to_be(world: World):
    job = world.card.propose(CardRole.MODULE, "SN-9")
    for _ in range(5):
        with pytest.raises(UsageError):
            world.card.approve(job, "alice", b"wrong")
    line = call(world, service(world, jobs=[SERIAL])).start()
    assert not personalized(world, line)
    assert line.module.error.fault is Fault.LOCKED  # type: ignore[union-attr]
    assert queued_jobs(world) == []


def test_what_the_program_does_not_allow_is_not_signed(world: World):
    """The central system that it is in lost trust in the card, say."""
    world.approved(CardRole.MODULE, SERIAL)

    def never() -> None:
        raise StateError("the card is disabled", who="central")

    line = call(world, service(world, allowed=never)).start()
    assert not personalized(world, line)
    assert "disabled" in turned_away_reason(world)
    assert intents(world) == []


# Options


@pytest.mark.parametrize("option", sorted(set(TrustOption) - set(OPTIONS)), ids=lambda option: option.text)
def test_options_that_are_not_for_a_listening_unit_are_refused_with_the_reason(world: World, option):
    with pytest.raises(UsageError, match=option.text):
        service(world, option)


@pytest.mark.parametrize("module_option", TrustOption, ids=lambda option: option.text)
@options
def test_a_module_under_another_option_is_not_let_in(world: World, option, module_option):
    world.approved(CardRole.MODULE, SERIAL)
    world.equip(option)
    line = call(world, service(world, option), module_option).start().finish()
    if option is not module_option:
        assert line.peer.result is None
        assert intents(world) == []
    else:
        assert line.peer.result is UnitState.PERSONALIZED


def test_a_ticket_of_another_module_opens_nothing_and_the_card_is_not_asked_for_who_has_no_job(world: World):
    world.equip(TrustOption.TICKET)
    here = service(world, TrustOption.TICKET)
    asked: list[object] = []
    real = here._desk.ask
    here._desk.ask = lambda question: asked.append(question) or real(question)  # type: ignore[method-assign]
    assert not personalized(world, call(world, here, TrustOption.TICKET).start())
    assert asked == []
    world.approved(CardRole.MODULE, SERIAL)
    record = world.module.record
    forged = replace(record, ticket=ModuleTicket(given(record.ticket).number, bytes(32)))
    world.module._keeping.commit(forged, world.module.keys.labels())
    line = call(world, service(world, TrustOption.TICKET), TrustOption.TICKET).start()
    assert not personalized(world, line)
    assert line.module.error.fault is Fault.UNTRUSTED  # type: ignore[union-attr]
    assert intents(world) == []


@pytest.mark.parametrize("option", [TrustOption.SECRET, TrustOption.TAN], ids=lambda option: option.text)
def test_a_secret_of_another_module_opens_nothing_and_the_attempt_counts(world: World, option):
    """The TAN is burnt, right or wrong; what is counted is the module that proved its identity, and no other."""
    world.approved(CardRole.MODULE, SERIAL)
    world.issue_tan("SN-2")
    line = call(world, service(world, option), option)
    if option is TrustOption.SECRET:
        world.book().agree(SERIAL, b"another secret")
    else:
        world.envelopes[SERIAL] = world.envelopes["SN-2"]
    assert not personalized(world, line.start())
    assert intents(world) == []
    record = world.book().record()
    assert [(tally.serial, tally.wrong) for tally in record.tallies] == [(SERIAL, 1)]
    assert [tan.serial for tan in record.tans] == ["SN-2"]


@pytest.mark.parametrize("option", [TrustOption.SECRET, TrustOption.TAN], ids=lambda option: option.text)
def test_five_wrong_secrets_lock_this_module_at_the_unit(world: World, option):
    world.approved(CardRole.MODULE, SERIAL)
    here = service(world, option)
    for _ in range(5):
        world.book().begin_attempt(SERIAL, by_tan=False)
    line = call(world, here, option)
    assert not personalized(world, line.start())
    assert line.module.error.fault is Fault.UNAVAILABLE  # type: ignore[union-attr]
    world.book().unlock(SERIAL)
    assert personalized(world, call(world, here, option).start())


def test_one_link_makes_three_wrong_attempts_and_then_a_pause(world: World):
    """A stolen module with an identity of its own burns no more than that; a right one from elsewhere goes on."""
    world.approved(CardRole.MODULE, SERIAL)
    here = service(world, TrustOption.SECRET)
    tried: list[str] = []
    attempt = here._book.attempt  # type: ignore[union-attr]
    here._book.attempt = lambda serial, **about: tried.append(serial) or attempt(serial, **about)  # type: ignore[union-attr, method-assign, func-returns-value]
    world.equip(TrustOption.SECRET)
    world.module.agree_on(b"another secret")
    for _ in range(MOST_FROM_ONE + 1):
        line = call(world, here, TrustOption.SECRET, origin="10.0.0.1")
        assert not personalized(world, line.start())
    assert line.module.error.fault is Fault.UNAVAILABLE  # type: ignore[union-attr]
    assert tried == [SERIAL] * MOST_FROM_ONE, "the last one was not tried"
    world.module.agree_on(shared_secret(SERIAL))
    assert not personalized(world, call(world, here, TrustOption.SECRET, origin="10.0.0.1").start())
    assert personalized(world, call(world, here, TrustOption.SECRET, origin="10.0.0.2").start())
    assert len(tried) == MOST_FROM_ONE + 1
    assert world.book().record().tallies == ()


@pytest.mark.parametrize("option", [TrustOption.SECRET, TrustOption.TAN], ids=lambda option: option.text)
def test_a_module_without_identity_burns_nothing_in_a_network(world: World, option):
    bare = world.new_module("SN-bare", identity=False)
    here = service(world, option)
    line = call(world, here, option, module=bare).start().finish()
    assert line.peer.result is None
    record = world.book().record()
    assert (record.tallies, [tan.serial for tan in record.tans][:1]) == ((), ["SN-bare"] if record.tans else [])


def test_who_has_neither_tan_nor_secret_is_told_and_none_is_guessed(world: World):
    for option in (TrustOption.SECRET, TrustOption.TAN):
        line = call(world, service(world, option), option)
        if option is TrustOption.TAN:
            world.book().revoke(SERIAL)
        else:
            world.vault("book").commit(encode_record(UnitRecord()), frozenset())
        assert not personalized(world, line.start())
        assert line.module.error.fault is Fault.UNAVAILABLE  # type: ignore[union-attr]
        assert world.book().record().tallies == ()


def test_without_a_book_there_are_no_secrets(world: World):
    rules = Rules(world.central_certificate)
    for option in (TrustOption.SECRET, TrustOption.TAN):
        with pytest.raises(UsageError, match="--book"):
            UnitService(Desk(world), world.card, option, rules, tell=print, now=world.clock).check()


def test_a_module_at_work_reports_and_nothing_is_signed(world: World):
    personalize(world)
    before = len(intents(world))
    line = call(world, service(world, jobs=[SERIAL])).start()
    assert line.finish().peer.result is UnitState.REPORTED
    assert len(intents(world)) == before


# What is checked before anybody can call


def test_a_unit_wants_the_central_systems_certificate_of_its_own_card(world: World):
    world.central_certificate = World(seed="other").central_certificate
    with pytest.raises(CertificateRefused):
        service(world)


def test_a_revoked_unit_does_not_listen_and_signs_no_more(world: World):
    world.approved(CardRole.MODULE, SERIAL)
    here: UnitService = service(world)
    card = fresh_card(world)
    card.sign_list(world.approved_list(card.number_of(card.unit)).number)
    line = call(world, here).start()
    assert not personalized(world, line)
    assert intents(world) == []
    with pytest.raises(CertificateRefused, match="revoked"):
        service(world)
