"""Scripts that lead the parties through all that can happen to them, for tests that look at what was recorded.

Each function plays one part in a world of its own and leaves nothing behind but what a recorder saw.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from networked import approve_queued, call, fresh_card, in_force, look, service, with_policy
from pump import (
    Line,
    NoStream,
    Side,
    contact,
    enrollment,
    meeting,
    personalize,
)
from two_halves import furnished, two_halves
from world import DAY, NOW, PINS, SERIAL, Seeded, World, cheap_pins, wanted

from insitu.protocol.channel.trust import TicketClaim
from insitu.protocol.engine import (
    Cmac,
    InsituError,
    KeyKind,
    LookUp,
    PublicKey,
    SecretAlgorithm,
    SecretUsage,
    Sign,
    given,
)
from insitu.protocol.keys.port import KeyStoreError
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import IDENTITY, CardRole, KeyPolicy, PeopleChange, TrustOption
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.work_data import (
    InstructionTaken,
    PayloadGiven,
    ResetByHand,
    SecretWanted,
    TimePassed,
    TransactionSettled,
)
from insitu.protocol.stores.registry import CommandKind
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.unit_service import UnitService

OPTIONS = tuple(TrustOption)


@contextmanager
def broken(vault: Vault, operation: str, *, after: int = 0) -> Any:
    """Key memory whose `operation` ("generate", "sign") fails from its call number `after` on."""
    real = getattr(vault, operation)
    calls = 0

    def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyStoreError("key memory is gone", who="keys")
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault, operation, failing)
        yield


def dropping(number: int) -> Callable[[Line, Side, int, bytes], list[bytes] | None]:
    """A hook that loses the frame with this number and all after it."""
    return lambda line, sender, count, frame: [] if count >= number else None


def wait_out(line: Line) -> None:
    """Nobody says anything any more: the unit or central system gives up first, then the module."""
    for side in reversed(line.sides):
        if side.timers and not side.session.closed:
            side.take(side.session.expire(min(side.timers), side.now()))
    line.flow()


def circles() -> None:
    """A customer whom only its own central system certified."""
    world = World()
    world.close_circle("SN-circle")
    personalize(world, TrustOption.PHYSICAL)


def deliveries() -> None:
    """Modules bare, with identity, with a key made at manufacture; with key memory that fails at either."""
    world = World()
    world.new_module("SN-bare", identity=False)
    world.new_module("SN-manufactured", manufactured_key=True)
    for number, after in enumerate((0, 1)):
        serial = f"SN-broken-{number}"
        with broken(world.vault(serial), "generate", after=after), suppress(InsituError):
            world.new_module(serial, manufactured_key=True)


def personalizations() -> None:
    """Both options, new key and key of manufacture, a second time, and a report of a module that operates."""
    for option in OPTIONS:
        world = World()
        module = world.new_module("SN-2", manufactured_key=True)
        personalize(world, option)
        personalize(world, option, module=module, policy=KeyPolicy.MANUFACTURE_ADMITTED)
        world.approved(CardRole.MODULE, SERIAL)
        meeting(world, option).start().finish()
        world.module.reset_by_hand()
        personalize(world, option, policy=KeyPolicy.MANUFACTURE_ADMITTED)


def interruptions() -> None:
    """The line is cut, or falls silent, after every number of frames; for a delivered module and one that was reset."""
    for reset in (False, True):
        for number in range(9):
            for silent in (False, True):
                world = World()
                if reset:
                    personalize(world)
                    world.module.reset_by_hand()
                world.approved(CardRole.MODULE, SERIAL)
                if silent:
                    line = meeting(world, hook=dropping(number)).start()
                    wait_out(line)
                else:
                    line = meeting(world, cut_after=number).start()
                line.finish()


def interrupted_reports() -> None:
    """The report of a module that operates gets lost."""
    world = World()
    personalize(world)
    world.approved(CardRole.MODULE, SERIAL)
    meeting(world, cut_after=4).start().finish()


def key_failures() -> None:
    """The module's key memory fails while the key is made, proved and confirmed."""
    for reset in (False, True):
        for operation, after in (("generate", 0), ("sign", 1), ("sign", 2)):
            world = World()
            if reset:
                personalize(world)
                world.module.reset_by_hand()
            with broken(world.vault(SERIAL), operation, after=after):
                personalize(world)


def heads(world: World, public: PublicKey) -> None:
    """The head of the card's log cannot be signed, is signed later, and is asked for where nothing lacks."""
    job = world.approved(CardRole.MODULE, "SN-y")
    with broken(world.vault("card"), "sign", after=1), suppress(InsituError):
        world.card.certify(job.number, public)
    world.card.export_log()
    world.card.export_log()


def refusing_card() -> None:
    """The unit's card refuses at the last moment: the approvals are gone."""
    world = World()
    job = world.approved(CardRole.MODULE, SERIAL)
    line = meeting(world)
    used = world.vault("other").generate("used", KeyKind.P256, b"").public

    def use_it_up(effect: object) -> None:
        if isinstance(effect, LookUp):
            world.card.certify(job.number, used)

    line.peer.before = use_it_up
    line.start().finish()


def unapproved() -> None:
    """A module that waits for its personalization is asked how things stand."""
    world = World()
    unit = world.new_unit()
    module = Side("module", world.module.meet_unit(NoStream(), TrustOption.CERTIFICATES))  # type: ignore[arg-type]
    Line(module, Side("unit", unit.inquire(NoStream(), SERIAL, TrustOption.CERTIFICATES))).start().finish()  # type: ignore[arg-type]


def differing_fingerprints() -> None:
    """The person at the cable does not find the fingerprints equal."""
    world = World()
    world.approved(CardRole.MODULE, SERIAL)
    meeting(world, TrustOption.PHYSICAL, unit=world.new_unit(compare=lambda _: False)).start().finish()


def _online(world: World, **about: Any) -> Line:
    return contact(world, **about).start()


def business() -> None:
    """Authorizations, outcomes, payloads and instructions; what is lost is said again."""
    world = World()
    personalize(world)
    line = _online(world)
    line.module.order(wanted(1))
    line.module.order(TransactionSettled(1, 5000))
    line.module.order(PayloadGiven(2, b"to the host"))
    world.command(CommandKind.INSTRUCT, b"to the controller")
    world.command(CommandKind.REVOKE, world.revocations(2))
    world.command(CommandKind.REVOKE, world.revocations(1))
    line.peer.order(AttentionCalled())
    line.module.order(InstructionTaken(1))
    line.module.expire("beat")  # the store has changed since the greeting
    line.module.expire("beat")
    line.finish()

    for number in range(6):  # the greeting or the welcome is lost
        contact(world, cut_after=number).start().finish()
        line = contact(world, hook=dropping(number)).start()
        wait_out(line)
        line.finish()

    line = _online(world, hook=dropping(6))  # an authorization is lost, and asked again
    line.module.order(wanted(3))
    line.module.expire("authorization 4")
    line.finish()
    _online(world).finish()
    line = _online(world, hook=dropping(7))  # its answer is lost: the same comes again
    line.module.order(wanted(4))
    line.finish()
    _online(world).finish()
    line = _online(world, hook=dropping(7))  # the receipt of a payload is lost, and that of an outcome
    line.module.order(PayloadGiven(5, b"twice"))
    line.module.order(TransactionSettled(4, 0))
    line.finish()
    _online(world).finish()
    line = _online(world, hook=dropping(7))  # the receipt of an instruction is lost
    world.command(CommandKind.INSTRUCT, b"again")
    line.peer.order(AttentionCalled())
    line.finish()
    _online(world).finish()


def undecided() -> None:
    """The host's answer is lost in a crash: the module that asks again is told no."""
    world = World()
    personalize(world)

    def crash(effect: object) -> None:
        if isinstance(effect, LookUp) and effect.what == "decision":
            raise KeyStoreError("the host is gone", who="host")

    line = _online(world)
    line.peer.before = crash
    line.module.order(wanted(1))
    line.finish()
    _online(world).finish()
    world.module.at_work._asked = ()  # the module restarts: nobody waits for an answer any more
    line = _online(world, hook=dropping(7))
    line.module.order(wanted(2))
    line.finish()
    world.module.at_work._asked = ()
    _online(world).finish()


def symmetric_keys() -> None:
    """Keys are loaded, used, worn out and expire; some are declined, and some key memories fail."""
    world = World()
    personalize(world)
    world.module_clock.at = world.clock.at
    _online(world).finish()
    for algorithm in (SecretAlgorithm.AES, SecretAlgorithm.TDES):
        world.load_key(algorithm=algorithm)
    line = _online(world)
    mac = SecretWanted(1, SecretUsage.MAC, Cmac(b"data"), NOW, 0)
    for _ in range(4):  # three uses, and one too many
        line.module.order(mac)
    line.finish()
    world.load_key(uses=9)
    with broken(world.vault("central Host"), "rewrap"):
        _online(world).finish()
    world.load_key(uses=9)
    line = _online(world, hook=dropping(7))  # the module's answer is lost
    line.finish()
    line = _online(world)
    with broken(world.vault(SERIAL), "use"):
        line.module.order(mac)
    line.module.order(TimePassed(NOW, 0))
    line.module.order(TimePassed(NOW + 2 * DAY, 0))
    line.finish()
    world.load_key()
    with broken(world.vault(SERIAL), "unwrap"):
        _online(world).finish()


def resets() -> None:
    """By command, with every message lost once; by hand in every state."""
    for number in range(5, 9):  # before ResetRequest, ResetChallenge, ResetCommand, ResetDone
        for silent in (False, True):
            world = World()
            personalize(world)
            _online(world).finish()
            world.order_reset()
            line = _online(world, hook=dropping(number) if silent else None, cut_after=None if silent else number)
            wait_out(line)
            line.finish()
    world = World()
    personalize(world)
    line = _online(world)
    world.order_reset()
    line.peer.order(AttentionCalled())  # it is sent away, to come again
    line.finish()
    with broken(world.vault("central Host"), "sign", after=1):
        _online(world).finish()
    _online(world).finish()
    for reset_in in ("OPERATING", "CALLING", "ONLINE", "CHALLENGED"):
        world = World()
        personalize(world)
        if reset_in == "OPERATING":
            world.module.reset_by_hand()
            continue
        if reset_in == "CHALLENGED":
            _online(world).finish()
            world.order_reset()
        line = _online(world, hook=dropping({"CALLING": 4, "ONLINE": 6, "CHALLENGED": 6}[reset_in]))
        line.module.order(ResetByHand())
        line.finish()


def offices() -> None:
    """Manufacturer and card: wrong PINs, a lock, keys that fail at every step."""
    world = World()
    for after in range(2):
        name = f"maker-{after}"
        with broken(world.vault(name), ("generate", "sign")[after]), suppress(InsituError):
            world.new_manufacturer(name).establish("Other")
    with broken(world.vault("manufacturer"), "sign"), suppress(InsituError):
        world.new_module("SN-never")
    for number, (operation, after) in enumerate((("generate", 0), ("generate", 1), ("sign", 0))):
        name = f"card-{number}"
        with broken(world.vault(name), operation, after=after), suppress(InsituError):
            world.blank_card(name).furnish("Other", PINS)
    job = world.card.propose(CardRole.MODULE, "SN-x")
    for pin in (b"0000", PINS["alice"]):
        with suppress(InsituError):
            world.card.approve(job, "alice", pin)
    world.card.approve(job, "bob", PINS["bob"])
    public = world.vault("other").generate("x", KeyKind.P256, b"").public
    with broken(world.vault("card"), "sign"), suppress(InsituError):
        world.card.certify(job.number, public)
    heads(world, public)


def lists() -> None:
    """Revocation lists of manufacturer and card, with keys that fail."""
    world = World()
    maker, card = world.manufacturer, world.card
    maker.revoke(maker.number_of_module(SERIAL))
    card.heed(maker.sign_list())
    with broken(world.vault("manufacturer"), "sign"), suppress(InsituError):
        maker.sign_list()
    card.sign_list(world.approved_list(card.number_of(world.central_certificate)).number)
    job = world.approved_list(card.number_of(card.unit))
    with broken(world.vault("card"), "sign"), suppress(InsituError):
        card.sign_list(job.number)


def new_host(world: World) -> Central:
    """A central system with a key and nothing else."""
    central = world.started_central("New host")
    central.establish("New host")
    return central


def enrollments() -> None:
    """A card enrols; the line is cut or falls silent after every number of frames; keys fail."""
    for number in range(8):
        for silent in (False, True):
            world = World()
            central = new_host(world)
            if silent:
                line = enrollment(world, central, hook=dropping(number)).start()
                wait_out(line)
            else:
                line = enrollment(world, central, cut_after=number).start()
            line.finish()
    for name, after in (("card", 1), ("central New host", 1), ("central New host", 2)):
        world = World()
        central = new_host(world)
        line = enrollment(world, central)
        with broken(world.vault(name), "sign", after=after):
            line.start()
        line.finish()
    for side, count in ((0, 2), (1, 2), (1, 3)):  # the link is lost while key memory is at it
        world = World()
        line = enrollment(world, new_host(world))
        line.sides[side].before = cutting(line, count)
        line.start().finish()


def cutting(line: Line, count: int) -> Callable[[object], None]:
    """Cuts the line before the signature with this number, from 1."""
    seen = 0

    def before(effect: object) -> None:
        nonlocal seen
        seen += isinstance(effect, Sign)
        if seen == count and isinstance(effect, Sign):
            line.cut()

    return before


def queues() -> None:
    """A module waits at a unit in the network until people have approved its key: or the time is over, or the link."""
    for reset in (False, True):
        for end in ("approved", "withdrawn", "too late for the unit", "too late for the module", "cut", "broken"):
            world = World()
            if reset:
                personalize(world)
                world.module.reset_by_hand()
            here = service(world, jobs=[SERIAL])
            line = call(world, here).start()
            match end:
                case "approved":
                    approve_queued(world)
                case "withdrawn":
                    here._rules.jobs.listed.clear()  # type: ignore[union-attr]
                case "too late for the unit":
                    line.peer.expire("person")
                case "too late for the module":
                    line.module.expire("peer")
                case "cut":
                    line.cut()
                case _:
                    approve_queued(world)
                    with broken(world.vault(SERIAL), "sign"):
                        look(here)
                        line.flow()
            look(here)
            line.flow()
            line.finish()
    world = World()  # the card is busy as the job is to be seen
    here = service(world, jobs=[SERIAL])
    line = call(world, here)
    line.peer.before = occupied(here)
    line.start().finish()


def occupied(here: UnitService) -> Callable[[object], None]:
    """From the first question on, as many others wait for the card as may."""
    places = here._desk._places

    def before(effect: object) -> None:
        while isinstance(effect, LookUp) and places.acquire(blocking=False):
            pass

    return before


def standing_approvals() -> None:
    """Proposed, approved, in force, used, withdrawn."""
    world = World()
    card = with_policy(world, most=5)
    begun = in_force(card, most=2)
    call(world, service(world)).start().finish()
    card = fresh_card(world)
    card.withdraw(begun.job)
    card.withdraw(card.propose_standing([SERIAL], most=2, until=NOW + DAY).number)


def people() -> None:
    """A PIN is changed, somebody comes, an approval is withdrawn."""
    card = World().card
    for pin in (b"0000", PINS["alice"]):
        with suppress(InsituError):
            card.change_pin("alice", pin, b"a new one")
    job = card.propose_change(PeopleChange.ADD, "carol", pin=b"hers")
    card.approve(job, "alice", b"a new one")
    card.withdraw_approval(job.number, "alice")
    card.approve(job, "alice", b"a new one")
    card.approve(job, "bob", PINS["bob"])
    card.change_people(job.number)


def halves() -> None:
    """A card with a signing token, taken out after two people have approved, and in again."""
    world = World()
    split, _ = two_halves(world)
    card = furnished(world, split)
    job = card.propose(CardRole.UNIT, "unit-9", public=card.authentication.public)
    for person, pin in PINS.items():
        card.approve(job, person, pin)
    split.forget()
    card = Card(split, now=world.clock)
    card.take_halves("bob", PINS)


def tickets() -> None:
    """Tickets that are good, another's, shown again; with key memory that fails at the card and at the manufacturer."""
    world = World()
    world.equip(TrustOption.TICKET)
    held, public = given(world.module.record.ticket), given(world.module.keys.find(IDENTITY)).public
    claim = TicketClaim(held.number, SERIAL, public, held.mac)
    with suppress(InsituError):
        world.card.take_ticket(replace(claim, mac=bytes(32)))
    with broken(world.vault("card"), "use"), suppress(InsituError):
        world.card.take_ticket(claim)
    for serial in (SERIAL, SERIAL, "SN-2"):
        with suppress(InsituError):
            world.card.take_ticket(replace(claim, serial=serial))
    with broken(world.vault("manufacturer"), "use"), suppress(InsituError):
        world.ticket(SERIAL, public)


ALL: tuple[Callable[[], None], ...] = (
    deliveries,
    personalizations,
    interruptions,
    interrupted_reports,
    key_failures,
    refusing_card,
    unapproved,
    differing_fingerprints,
    business,
    undecided,
    symmetric_keys,
    resets,
    offices,
    lists,
    enrollments,
    tickets,
    circles,
    queues,
    standing_approvals,
    people,
    halves,
)


def live() -> None:
    """All of it, in which a world is made from nothing at least once: no other test uses this seed."""
    with cheap_pins():
        World("a life of its own")
        for part in ALL:
            part()


__all__ = ["ALL", "NOW", "OPTIONS", "Seeded", "broken", "dropping", "live"]
