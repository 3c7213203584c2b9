"""Each party in a real session past its handshake: what a peer says that has real keys and ill will."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Final
from zlib import crc32

import trio
import trio.testing

from ...protocol.channel.trust import ModuleAtWork
from ...protocol.engine import EnvironmentFault, InsituError, UsageError
from ...protocol.keys.certificates import Role, key_digest, trusted_root, verify_issued
from ...protocol.keys.requests import read_request
from ...protocol.keys.revocation import draft_crl
from ...protocol.messages import ModuleCondition, NumberMaker, NumberWanted, TrustOption, encode_message
from ...protocol.stores.card_log import Result, verify_chain
from ...protocol.stores.memory_registry import MemoryRegistry
from ...shell.central import Central
from ...shell.enrolling import admit, enrol
from ...shell.module import Module
from ...transports.errors import TransportError
from ...transports.memory import memory_pair
from .. import cast
from ..courier import Courier
from ..mutation import cut, joined
from ..puppet import NEVER, Dribble, Played, Puppet, play
from ..scene import NOW, SECRET, SERIAL, SHIPPED_KEY, CopiedVault, Named, now, scene
from ..target import TARGETS, Broken, Shape, check, outcome_of, target

SECONDS: Final = 2.0
"""What an input may cost: up to MOST frames after a whole handshake."""
MOST: Final = 12
"""Frames of one input that are sent."""
ENDS_AFTER: Final = 10.0
"""Real seconds in which a party must have ended once its peer says nothing more."""
LONGEST_DEADLINE: Final = 120.0
"""Likewise where it says nothing and stays."""
DRIBBLES: Final = 16
"""One input of so many goes byte by byte."""
ROOM: Final = 1 << 21

Meet = Callable[[trio.abc.Stream], Awaitable[object]]


@dataclass
class Stage:
    """One party under test, its peer's puppet, and how to look at the party from inside.

    Attributes:
        party: runs it over a stream.
        puppet, ports: its peer.
        secrets: what must never be said, by name.
        sound: raises Broken where its durable state is not as it may be; told whether the session was refused.
        ends: whether a conversation in which all goes well comes to an end.
        hangs_up: whether the peer does, once it has said what it says. Else only the party's own deadlines are left,
            by a clock that jumps.

    """

    party: Meet
    puppet: Puppet[Any, Any]
    ports: Any
    secrets: dict[str, bytes]
    sound: Callable[[bool], None]
    ends: bool = True
    hangs_up: bool = True


def _at_module(option: TrustOption) -> Stage:
    there, entropy = scene(), Named("puppet")
    courier = Courier(lambda conveyed: conveyed.random is None or conveyed.random in entropy.drawn)
    module = there.a_module(courier=courier)
    vault, card = module.keys, there.a_card()
    about: dict[str, Any] = {"entropy": entropy, "now": now}
    puppet, ports = cast.unit(card, there.central, SERIAL, option, there.means(SERIAL, courier), **about)
    before = module.record

    def sound(refused: bool) -> None:
        record = module.record
        if record.condition is ModuleCondition.OPERATING:
            check(not courier.refused, "a channel was trusted for which the mobile's unit did not vouch")
            _operates(module)
            _by_the_card(record.module or b"")
            return
        check(vault.labels() == record.lasting, "a key is left over")
        check(replace(record, wrong=None, generation=before.generation) == before, "a refused session left something")

    return Stage(partial(module.meet_unit, option=option, wired=True), puppet, ports, _secrets(module), sound)


def _by_the_card(certificate: bytes) -> None:
    customer = verify_issued(scene().customer, trusted_root(scene().root), Role.CUSTOMER, now=None)
    try:
        verify_issued(certificate, customer, Role.MODULE, now=None, subject=SERIAL)
    except InsituError as error:
        raise Broken("a certificate that is not by the card") from error


def _operates(module: Module) -> None:
    record = module.record
    check(module.keys.labels() == record.labels, "keys and record do not agree")
    ModuleAtWork.of(record, module.keys.find(record.key or ""))


def _at_unit(option: TrustOption) -> Stage:
    there = scene()
    card, courier = there.a_card(), Courier()
    unit = there.a_unit(card, courier)
    vault = CopiedVault("puppet module", there.delivered)
    mobile = courier.at_module if option is TrustOption.CONVEYED else None
    puppet, ports = cast.module(vault, option, tan=there.tan, mobile=mobile, entropy=Named("puppet"))
    before = card.log.log

    def sound(refused: bool) -> None:
        log = card.log.log
        verify_chain(log)
        new = [entry.what for entry in log[len(before) :]]
        check(log[: len(before)] == before, "the log was changed")
        check(sum(isinstance(what, Result) for what in new) <= 1, "an approval was used twice")

    return Stage(
        partial(unit.personalize, serial=SERIAL, option=option, wired=True),
        puppet,
        ports,
        {"shipped key": SHIPPED_KEY, "secret": SECRET, **private(card.keys)},
        sound,
    )


def _at_work(waiting: str) -> Stage:
    there = scene()
    module, central = there.a_module(operating=True), there.a_central(waiting=waiting)
    puppet, ports = cast.central_system(central, entropy=Named("puppet"))

    def sound(refused: bool) -> None:
        record = module.record
        if record.condition is ModuleCondition.OPERATING:
            _operates(module)
            check(record.module == scene().module, "another certificate took the place of its own")
        else:
            check(module.keys.labels() == record.lasting, "a key outlived the reset")

    return Stage(module.work, puppet, ports, _secrets(module), sound, ends=waiting == "reset")


def _at_central(waiting: str) -> Stage:
    there = scene()
    central = there.a_central(waiting=waiting)
    vault = CopiedVault("puppet module", there.operating)
    puppet, ports = cast.module_at_work(vault, entropy=Named("puppet"))
    before, record = central.registry.issuers(), central.record

    def sound(refused: bool) -> None:
        check(central.registry.issuers() == before, "an issuer came or went")
        check(central.record == record, "the central system's own record was changed")
        entry = central.registry.module(SERIAL)
        check(entry is None or entry.serial == SERIAL, "another module was entered")

    return Stage(central.attend, puppet, ports, private(central.keys), sound, ends=waiting == "reset")


def _at_enrolling_central() -> Stage:
    there = scene()
    card, central = there.a_card(), _untrusting()
    puppet, ports = cast.enrolling_card(card, key_digest(central.key.public), now=now, entropy=Named("puppet"))
    fingerprint = card.customer.fingerprint

    def sound(refused: bool) -> None:
        issuers = central.issuers()
        check([each.fingerprint for each in issuers] in ([], [fingerprint]), "another card was entered")

    party = partial(_admit, central, there.root, fingerprint)
    return Stage(party, puppet, ports, private(central.keys), sound)


async def _admit(central: Central, root: bytes, customer: bytes, stream: trio.abc.Stream) -> object:
    return await admit(central, stream, root, customer, actor="operator")


def _at_enrolling_card() -> Stage:
    there = scene()
    card, central = there.a_card(), _untrusting()
    puppet, ports = cast.enrolling_central(central, there.root, card.customer.fingerprint, entropy=Named("puppet"))
    before = card.record
    digest = key_digest(central.key.public)

    async def party(stream: trio.abc.Stream) -> object:
        return await enrol(card, stream, digest, entropy=Named("card session"), now=now)

    def sound(refused: bool) -> None:
        check(card.record == before, "enrolling changed the card")

    return Stage(party, puppet, ports, private(card.keys), sound)


def _untrusting() -> Central:
    """The central system before it trusted anybody."""
    about: dict[str, Any] = {"now": now, "entropy": Named("host session"), "blocking": False}
    return Central(CopiedVault("host now", scene().host), MemoryRegistry(), **about)


def _secrets(module: Module) -> dict[str, bytes]:
    return {"shipped key": SHIPPED_KEY, "secret": SECRET, "TAN": scene().tan.encode(), **private(module.keys)}


def private(vault: Any) -> dict[str, bytes]:  # noqa: ANN401 - a CopiedVault, as all are here
    """All keys in it, by their labels."""
    kept = vault.kept()
    pairs = {label: private for label, (_, private) in kept.pairs.items()}
    return pairs | {label: secret[2] for label, secret in kept.secrets.items()}


# Running -----------------------------------------------------------------------------------------------------


async def _meeting(stage: Stage, dribble: bool) -> tuple[Played, InsituError | None]:
    here, there = memory_pair(ROOM)
    ended: list[InsituError | None] = []
    played: Played | None = None

    async def party() -> None:
        try:
            await stage.party(here)
            ended.append(None)
        except (InsituError, TransportError) as error:
            check(isinstance(error, InsituError), "an error of the link is all that a session says")
            ended.append(error)  # type: ignore[arg-type]

    limit = ENDS_AFTER if stage.hangs_up else LONGEST_DEADLINE
    with trio.move_on_after(limit):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(party)
            stream = Dribble(there) if dribble else there
            about: dict[str, Any] = {"now": now, "linger": limit, "hangs_up": stage.hangs_up}
            played = await play(stage.puppet, stream, stage.ports, **about)
    if played is None or not ended:
        raise Broken("the party does not end")
    return played, ended[0]


def run(make: Callable[[], Stage], data: bytes) -> str:
    """One conversation on a stage, in which the puppet says what an input has; what came of it.

    Raises:
        Broken: the party did what it must not.

    """
    stage = make()
    says = [frame for frame in cut(data)[:MOST] if frame]
    stage.puppet.turn, stage.puppet.says = 0, tuple(says)
    clock = None if stage.hangs_up else trio.testing.MockClock(autojump_threshold=0)
    played, error = trio.run(_meeting, stage, crc32(data) % DRIBBLES == 0, clock=clock)
    check(stage.puppet.turned, f"the handshake failed: {played.error or error}")
    check(not isinstance(error, (UsageError, EnvironmentFault)), f"a peer's fault is told as another's: {error}")
    stage.sound(error is not None)
    text = f"{error} {error!r}" if error else ""
    spoken = b"".join(stage.puppet.heard) + b"".join(played.frames)
    for name, secret in stage.secrets.items():
        check(secret.hex() not in text.lower() and secret not in spoken, f"{name} shows")
    check(len(stage.puppet.faults) <= 1, "more than one code was told")
    told = ",".join(type(message).__name__ for message in stage.puppet.told)
    return f"{told or 'nothing'}: {outcome_of(error) if error else 'good end'}"


@cache
def _said(make: Callable[[], Stage]) -> tuple[bytes, ...]:
    """What the peer says in a whole conversation, which ends by itself or when nobody says anything more."""
    stage = make()
    stage.puppet.turn = NEVER
    clock = None if stage.ends else trio.testing.MockClock(autojump_threshold=0.01)
    trio.run(_whole, stage, clock=clock)
    return tuple(stage.puppet.said)


async def _whole(stage: Stage) -> None:
    here, there = memory_pair(ROOM)
    with trio.move_on_after(ENDS_AFTER):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.party, here)
            await play(stage.puppet, there, stage.ports, now=now, linger=ENDS_AFTER)


def _seeds(make: Callable[[], Stage]) -> Iterator[bytes]:
    said = _said(make)
    yield joined(said)
    yield from (joined(said[:number]) for number in range(1, len(said)))


def _seeds_of_other_makers(make: Callable[[], Stage]) -> Iterator[bytes]:
    """A unit that has the module or the mobile make the number."""
    yield from _seeds(make)
    _, *rest = _said(make)
    for maker in (NumberMaker.MODULE, NumberMaker.MOBILE):
        yield joined([encode_message(NumberWanted(maker=maker)), *rest])


OPTIONS: Final = {
    TrustOption.CERTIFICATES: "certificates",
    TrustOption.PHYSICAL: "physical",
    TrustOption.CERTIFICATES_ONE_WAY: "certificates-one-way",
    TrustOption.SHIPPED_KEY: "shipped-key",
    TrustOption.TICKET: "ticket",
    TrustOption.SECRET: "secret",
    TrustOption.TAN: "tan",
    TrustOption.CONVEYED: "conveyed",
}


def declare(name: str, sentence: str, make: Callable[[], Stage]) -> None:
    """Declare the target `name`, about a party that `make` puts into its session."""

    def one(data: bytes) -> str:
        return run(make, data)

    one.__doc__ = sentence
    seeds = _seeds_of_other_makers if name == "module-by-conveyed" else _seeds
    target(name, Shape.FRAMES, partial(seeds, make), seconds=SECONDS)(one)


def _request_seeds() -> Iterator[bytes]:
    yield from TARGETS["requests"].seeds()


@target("manufacturer-desk", Shape.DER, _request_seeds, seconds=0.2)
def manufacturer_desk(data: bytes) -> str:
    """What is brought to the manufacturer as a customer's request is certified as it says, or leaves nothing behind."""
    desk = scene().a_manufacturer()
    before = desk.record
    try:
        certificate = desk.sign_customer(data)
    except InsituError as error:
        check(desk.record == before, "a refused request left something")
        return outcome_of(error)
    found = verify_issued(certificate, trusted_root(scene().root), Role.CUSTOMER, now=NOW)
    check(found.public == read_request(data).public, "another key was certified")
    return "certified"


def _list_seeds() -> Iterator[bytes]:
    vault = CopiedVault("maker signs", scene().manufacturer)
    root = trusted_root(scene().root)
    pair = next(each for each in map(vault.find, sorted(vault.labels())) if each and each.public == root.public)
    for number in (1, 2):
        revoked = {1 << 126 | number: NOW - 1}
        draft = draft_crl(root, revoked, number=number, this_update=NOW - 5, next_update=NOW + 99_999)
        yield draft.assemble(vault.sign(pair, draft.to_be_signed))


@target("card-desk", Shape.DER, _list_seeds, seconds=0.2)
def card_desk(data: bytes) -> str:
    """A list that is brought to the card is the manufacturer's own and is kept, or leaves nothing behind."""
    card = scene().a_card()
    before = card.record
    try:
        heard = card.heed(data)
    except InsituError as error:
        check(card.record == before, "a refused list left something")
        return outcome_of(error)
    check(data in _list_seeds() and heard.der == data, "another list was heeded")
    return f"heeded {heard.number}"


for _option, _name in OPTIONS.items():
    declare(
        f"module-by-{_name}",
        f"A module ends whatever a unit says under {_name}, and operates only by a certificate of the card.",
        partial(_at_module, _option),
    )
    declare(
        f"unit-by-{_name}",
        f"A unit ends whatever a module says under {_name}, and its card signs once at most, with its log whole.",
        partial(_at_unit, _option),
    )
for _waiting, _name in (("key", "at-work"), ("reset", "in-reset")):
    declare(
        f"module-{_name}",
        "A module at work is itself or wholly reset, whatever its central system says.",
        partial(_at_work, _waiting),
    )
    declare(
        f"central-{_name}",
        "Whatever a module says, the central system's issuers and its own record stay.",
        partial(_at_central, _waiting),
    )
declare("central-enrolling", "Whatever a card says, only the card that is meant is entered.", _at_enrolling_central)
declare("card-enrolling", "Whatever a central system says, the card that enrols stays as it is.", _at_enrolling_card)
