"""Scripts that lead the parties through all that can happen to them, for tests that look at what was recorded.

Each function plays one part in a world of its own and leaves nothing behind but what a recorder saw.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from pump import Line, NoStream, Side, contact, meeting, personalize
from world import NOW, PINS, SERIAL, Seeded, World, authorization, cheap_pins

from insitu.protocol.engine import InsituError, KeyKind, LookUp
from insitu.protocol.keys.port import KeyStoreError
from insitu.protocol.keys.vault import Vault
from insitu.protocol.messages import CardRole, KeyPolicy, TrustOption
from insitu.protocol.parties.central import ResetOrdered
from insitu.protocol.parties.module_data import AuthorizationWanted, ResetByHand

OPTIONS = (TrustOption.CERTIFICATES, TrustOption.PHYSICAL)


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


def work() -> None:
    """Contact, authorizations, resets by command and by hand in every state; losses and silence."""
    world = World()
    personalize(world)

    def online(**about: Any) -> Line:
        return contact(world, **about).start()

    line = online()
    line.module.order(AuthorizationWanted(authorization(1)))
    line.finish()
    for number in range(5):
        contact(world, cut_after=number).start().finish()
        line = contact(world, hook=dropping(number)).start()
        wait_out(line)
        line.finish()

    line = online(hook=dropping(5))  # the authorization is lost
    line.module.order(AuthorizationWanted(authorization(2)))
    line.module.expire()
    line.finish()

    for number in (6, 7, 8):  # after ResetRequest, ResetChallenge, ResetCommand
        for silent in (False, True):
            world = World()
            personalize(world)
            line = online(hook=dropping(number) if silent else None, cut_after=None if silent else number)
            line.peer.order(ResetOrdered())
            wait_out(line)
            line.finish()

    world = World()
    personalize(world)
    with broken(world.vault("central Host"), "sign", after=1):
        line = online()
        line.peer.order(ResetOrdered())
        line.finish()
    online().finish()  # the reset was ordered: it is all that this module may still do

    world = World()
    personalize(world)
    line = online()  # an authorization and the request for a reset cross, and the answer finds the module challenged
    line.module.take(line.module.session.submit(AuthorizationWanted(authorization(3))))
    line.peer.order(ResetOrdered())
    line.finish()

    for reset_in in ("OPERATING", "ONLINE", "CHALLENGED"):
        world = World()
        personalize(world)
        if reset_in == "OPERATING":
            world.module.reset_by_hand()
            continue
        line = online(hook=dropping(6))
        if reset_in == "CHALLENGED":
            line.peer.order(ResetOrdered())
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


ALL: tuple[Callable[[], None], ...] = (
    deliveries,
    personalizations,
    interruptions,
    interrupted_reports,
    key_failures,
    refusing_card,
    unapproved,
    differing_fingerprints,
    work,
    offices,
)


def live() -> None:
    """All of it, in which a world is made from nothing at least once: no other test uses this seed."""
    with cheap_pins():
        World("a life of its own")
        for part in ALL:
            part()


__all__ = ["ALL", "NOW", "OPTIONS", "Seeded", "broken", "dropping", "live"]
