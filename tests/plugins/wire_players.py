"""The parties that talk on a wire, each with a real peer and an alphabet, for `black_box` to learn.

A letter's message is made by a peer with the keys and certificates that a real one has; what it is worth to the party's
guards stands beside it. A player plays as often as the party can begin anew.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import Any, Final

from black_box import LOST, SILENCE, Done, Letter, Player
from intruder import Intruder, Trap
from lives import new_host
from pump import NoStream, Side, enrollment, personalize, personalized_world
from world import NOW, SERIAL, Beginning, World, authorization

from insitu.protocol.channel import proofs
from insitu.protocol.channel.trust import (
    ByCable,
    CardEnrolling,
    CentralAtWork,
    CentralEnrolling,
    ModuleAtWork,
    ModuleByIdentity,
    UnitByCertificate,
)
from insitu.protocol.engine import KeyHandle, KeyKind
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.keys.public import compress, decompress
from insitu.protocol.keys.requests import draft_request
from insitu.protocol.messages import (
    ApprovalAwaited,
    Authorize,
    Beat,
    CardRole,
    Certificates,
    Enroll,
    Enrolled,
    GenerateKeyPair,
    Greeting,
    Instruct,
    KeyPolicy,
    LoadKey,
    Message,
    ModuleCondition,
    ModuleKey,
    Outcome,
    Payload,
    PayOut,
    Personalized,
    Purpose,
    Received,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    Status,
    TimeTold,
    TrustOption,
    Welcome,
)
from insitu.protocol.parties.card_enrolling import CARD_ENROLLING
from insitu.protocol.parties.central import CENTRAL
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.central_enrolling import CENTRAL_ENROLLING
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.unit import UNIT
from insitu.protocol.parties.work import WORK
from insitu.protocol.parties.work_data import ResetByHand
from insitu.shell.module import Module

STREAM: Final[Any] = NoStream()
MANUFACTURED: Final = "SN-manufactured"


def holds(*guards: str) -> frozenset[str]:
    """Guards that hold."""
    return frozenset(guards)


# The module before a unit ------------------------------------------------------------------------------------


class ModuleBeforeUnit(Player):
    """A module with a key made at manufacture meets units, again and again; between, somebody may reset it by hand."""

    table = MODULE
    begins = "DELIVERED"
    option = TrustOption.CERTIFICATES
    holds = MappingProxyType({"RESET": holds("a_reset_came_before")})

    def __init__(self, world: World | None = None, module: Module | None = None) -> None:
        """`world`, `module`: those that others use as well; else both are new."""
        super().__init__()
        self.world = world or World()
        self.module = module or self.world.new_module(MANUFACTURED, manufactured_key=True)
        self.serial = self.module.record.serial
        self.world.equip(self.option, self.module)

    def meet(self) -> Trap:
        """A real unit's end; under the physical option anybody's."""
        card = self.world.card
        if self.option is TrustOption.PHYSICAL:
            vault: Any = self.world.vault("cable")
            terms: Any = ByCable.of("Bank", self.new_key(vault), wired=True)
        else:
            vault = card.keys
            terms = UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, self.serial)
        work = self.module.meet_unit(STREAM, self.option, wired=True)
        return Trap(Side("module", work), Intruder(terms, vault))

    def new_key(self, vault: Any) -> KeyHandle:
        """A key that nobody has seen."""
        return vault.generate(f"key {len(vault.labels())}", KeyKind.P256, b"")  # type: ignore[no-any-return]

    def presented(self) -> ModuleKey | None:
        """The key that the module sent last in this session."""
        return next((each for each in reversed(self.live.intruder.got) if isinstance(each, ModuleKey)), None)

    def certificates(self, *, another: bool = False) -> Message:
        """What a unit hands over, for the key of this session or another one."""
        world, sent = self.world, self.presented()
        if sent is None or another:
            public = self.new_key(world.vault("other")).public
        else:
            public = decompress(KeyKind.P256, sent.public_key)
        certificate = world.certify(CardRole.MODULE, self.serial, public)
        customer = None if self.option is TrustOption.CERTIFICATES else world.customer
        return Certificates(module=certificate, central=world.central_certificate, customer=customer)


def order(policy: KeyPolicy) -> Any:
    """A unit's first message."""
    return lambda _: GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=policy, time=NOW)


_MODULE_LETTERS: Final = (
    Letter("meet", "ChannelOpened", holds("personalization_is_the_purpose", "status_is_the_purpose")),
    Letter("make a new key", "GenerateKeyPair", say=order(KeyPolicy.NEW)),
    Letter("people are asked", "ApprovalAwaited", say=lambda _: ApprovalAwaited(60)),
    Letter("certificates", "Certificates", holds("chain_is_complete"), lambda player: player.certificates()),  # type: ignore[attr-defined]
    Letter("another's certificates", "Certificates", say=lambda player: player.certificates(another=True)),  # type: ignore[attr-defined]
    Letter("a module's message", "Personalized", say=lambda _: Personalized(bytes(64))),
    LOST,
    SILENCE,
)
ModuleBeforeUnit.letters = _MODULE_LETTERS


class ModuleOnCable(ModuleBeforeUnit):
    """The same by the physical option: the customer's certificate comes with the others."""

    option = TrustOption.PHYSICAL


class DeliveredModule(ModuleBeforeUnit):
    """A module that was never reset, asked for the key that it has from its manufacture."""

    letters = (
        *_MODULE_LETTERS[:2],
        Letter(
            "take the key that is there",
            "GenerateKeyPair",
            holds("key_from_manufacture_serves"),
            order(KeyPolicy.MANUFACTURE_ADMITTED),
        ),
        *_MODULE_LETTERS[3:4],
        LOST,
    )


class ResetModule(ModuleBeforeUnit):
    """A module that was personalized and reset."""

    begins = "RESET"
    letters = (*_MODULE_LETTERS[:4], LOST, SILENCE)

    def __init__(self) -> None:
        super().__init__(*_reset())


def _reset() -> tuple[World, Module]:
    world = World(begun=_reset_once())
    return world, world.blank_module(MANUFACTURED)


@cache
def _reset_once() -> Beginning:
    world = World()
    module = world.new_module(MANUFACTURED, manufactured_key=True)
    personalize(world, module=module)
    module.reset_by_hand()
    return Beginning.of(world)


# The unit before a module ------------------------------------------------------------------------------------


class UnitBeforeModule(Player):
    """A unit with an approved job meets its module, once."""

    table = UNIT
    option = TrustOption.CERTIFICATES
    purpose = Purpose.PERSONALIZE
    agree = True

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.approved(CardRole.MODULE, SERIAL)
        self.own: KeyHandle | None = None

    def meet(self) -> Trap:
        """A real module's end."""
        world = self.world
        vault = world.vault(SERIAL)
        if self.option is TrustOption.PHYSICAL:
            terms: Any = ByCable.of(SERIAL, vault.generate("cable", KeyKind.P256, b""), wired=True)
        else:
            identity = vault.find("identity")
            assert identity is not None
            terms = ModuleByIdentity.of(world.module.record, identity)
        unit = world.new_unit(compare=lambda _: self.agree)
        work = unit.personalize(STREAM, SERIAL, self.option, wired=True)
        return Trap(Side("unit", work), Intruder(terms, vault, self.purpose))

    def key(self, *, binding: bytes | None = None) -> Message:
        """A new key, with a proof made in this channel or in another one."""
        vault = self.world.vault(SERIAL)
        self.own = self.own or vault.generate("operating-0", KeyKind.P256, b"")
        opened = self.live.intruder._handshake.opened
        assert opened is not None
        statement = proofs.possession(binding or opened.binding, SERIAL, self.own.public)
        return ModuleKey(compress(self.own.public), vault.sign(self.own, statement))

    def confirmation(self) -> Message:
        """What a module says that keeps what it got; nonsense where it got nothing."""
        got = next((each for each in self.live.intruder.got if isinstance(each, Certificates)), None)
        opened = self.live.intruder._handshake.opened
        if got is None or self.own is None or opened is None:
            return Personalized(bytes(64))
        kept = (got.module, got.customer or self.world.customer, got.central)
        statement = proofs.confirmation(opened.binding, SERIAL, kept)
        return Personalized(self.world.vault(SERIAL).sign(self.own, statement))

    letters = (
        Letter("meet", "ChannelOpened", holds("it_wants_personalization")),
        Letter(
            "my key",
            "ModuleKey",
            holds("possession_is_proved", "a_known_module_proves_possession"),
            lambda player: player.key(),  # type: ignore[attr-defined]
        ),
        Letter("a proof of another channel", "ModuleKey", say=lambda player: player.key(binding=bytes(32))),  # type: ignore[attr-defined]
        Letter("confirmation", "Personalized", holds("the_new_key_confirms"), lambda player: player.confirmation()),  # type: ignore[attr-defined]
        Letter("a confirmation of nothing", "Personalized", say=lambda _: Personalized(bytes(64))),
        Letter("how I am", "Status", say=lambda _: Status(ModuleCondition.DELIVERED, 0)),
        Letter("a unit's message", "GenerateKeyPair", say=order(KeyPolicy.NEW)),
        LOST,
        SILENCE,
    )


class UnitBeforeReport(UnitBeforeModule):
    """The module at the other end operates, and only reports."""

    purpose = Purpose.STATUS
    letters = (
        Letter("meet", "ChannelOpened", holds("it_only_reports")),
        *UnitBeforeModule.letters[1:],
    )


_COMPARED: Final = Letter("my key", "ModuleKey", holds("possession_is_proved"), UnitBeforeModule.letters[1].say)


class UnitOnCable(UnitBeforeModule):
    """By the physical option: a person compares, and finds the fingerprints equal."""

    option = TrustOption.PHYSICAL
    letters = (UnitBeforeModule.letters[0], _COMPARED, *UnitBeforeModule.letters[2:])


class UnitWithDoubts(UnitOnCable):
    """The person does not find them equal."""

    agree = False
    letters = (
        UnitBeforeModule.letters[0],
        Letter("my key", "ModuleKey", _COMPARED.holds, _COMPARED.say, answers={"Consult": "FingerprintsDiffer"}),
        *UnitBeforeModule.letters[2:],
    )


# The module at work ------------------------------------------------------------------------------------------


class ModuleBeforeCentral(Player):
    """A module at work before its central system, which has instructed it once."""

    table = WORK
    shortest = holds("resume")

    def __init__(self, world: World | None = None, module: Module | None = None) -> None:
        """`world`, `module`: those that others use as well, with whatever they did; else both are new."""
        super().__init__()
        self.world = world or World(begun=_instructed())
        self.module = module or self.world.module
        self.number = 1

    def meet(self) -> Trap:
        """The central system's end."""
        world, central = self.world, self.world.central
        terms = CentralAtWork.of(world.central_certificate, central.issuers(), central._key())
        return Trap(Side("module", self.module.work(STREAM)), Intruder(terms, world.vault("central Host")))

    def next_number(self) -> int:
        """A number that was never used."""
        self.number += 1
        return self.number

    def command(self) -> Message:
        """The reset command for the challenge of this channel."""
        opened = self.live.intruder._handshake.opened
        assert opened is not None
        central = self.world.central
        record = self.module.record
        statement = proofs.reset_command(record.serial, record.epoch, proofs.reset_challenge(opened.binding))
        return ResetCommand(self.world.vault("central Host").sign(central._key(), statement))

    letters = (
        Letter("meet", "ChannelOpened", holds("peer_is_the_pinned_central")),
        Letter("welcome", "Welcome", say=lambda _: Welcome(NOW, 0)),
        Letter("an instruction", "Instruct", holds("inbox_has_room"), lambda me: Instruct(me.next_number(), b"")),  # type: ignore[attr-defined]
        Letter("the same again", "Instruct", holds("it_came_before", "inbox_has_room"), lambda _: Instruct(1, b"once")),
        Letter(
            "a block that is none",
            "LoadKey",
            say=lambda me: LoadKey(me.next_number(), "D" * 64, NOW + 60, 1),  # type: ignore[attr-defined]
            answers=MappingProxyType({"UnwrapKey": "KeyOperationFailed"}),
        ),
        Letter("an answer to nothing", "PayOut", say=lambda _: PayOut(99, approved=True, amount=1, reference="x")),
        Letter("a receipt of nothing", "Received", say=lambda _: Received(99)),
        Letter("the time", "TimeTold", say=lambda _: TimeTold(NOW)),
        Letter("a reset?", "ResetRequest", holds("epoch_is_ours"), lambda me: ResetRequest(me.module.record.epoch)),  # type: ignore[attr-defined]
        Letter("a reset of another epoch?", "ResetRequest", say=lambda _: ResetRequest(7)),
        Letter("reset", "ResetCommand", holds("command_is_authentic"), lambda me: me.command()),  # type: ignore[attr-defined]
        Letter("a forged reset", "ResetCommand", say=lambda _: ResetCommand(bytes(64))),
        Letter("a module's message", "ResetChallenge", say=lambda _: ResetChallenge(0, bytes(32))),
        Letter("reset by hand", "ResetByHand", do=lambda me: _submit(me, ResetByHand()), own=True),
        LOST,
    )


@cache
def _instructed() -> Beginning:
    player = ModuleBeforeCentral(personalized_world())
    player.hear(player.letters[0])
    for message in (Welcome(NOW, 0), Instruct(player.number, b"once")):
        player.live.say(message)
    player.leave()
    return Beginning.of(player.world)


def _submit(player: Player, event: object) -> None:
    victim = player.live.victim
    victim.take(victim.session.submit(event, victim.now()))


# The central system ------------------------------------------------------------------------------------------


def _challenge(_: Player) -> Message:
    return ResetChallenge(0, bytes(32))


class CentralBeforeModule(Player):
    """A central system before a module that it knows: one authorization, one payload and one outcome are done."""

    table = CENTRAL
    anew = MappingProxyType({"ENDED": "LISTENING"})
    unheard = MappingProxyType(
        {("acknowledge", again): Done(("Received",), (), None) for again in ("Payload", "Outcome")}
    )

    def __init__(self, world: World | None = None) -> None:
        """`world`: another one than that."""
        super().__init__()
        self.world = world or World(begun=_served())
        self.number, self.generation = (3, 101) if world is None else (0, 100)

    def meet(self) -> Trap:
        """The module's end."""
        world = self.world
        key = world.operating_key(world.module)
        assert key is not None
        terms = ModuleAtWork.of(world.module.record, key)
        intruder = Intruder(terms, world.vault(SERIAL), Purpose.OPERATE)
        return Trap(Side("central", world.central.attend(STREAM)), intruder)

    def next_number(self) -> int:
        """A number that was never used."""
        self.number += 1
        return self.number

    def written(self) -> int:
        """A generation that was never told."""
        self.generation += 1
        return self.generation

    def greeting(self, *, old: bool = False) -> Message:
        """How the module stands, or an old copy of it."""
        fingerprint = self.world.module.record.fingerprint
        assert fingerprint is not None
        return Greeting(0, fingerprint, 1 if old else self.written(), 1 << 20)

    def authorize(self, number: int | None = None) -> Authorize:
        """What an ATM may ask."""
        return authorization(number or self.next_number())

    letters = (
        Letter("meet", "ChannelOpened", holds("module_is_certified")),
        Letter("greeting", "Greeting", holds("nothing_speaks_against_it", "nothing_waits"), lambda me: me.greeting()),  # type: ignore[attr-defined]
        Letter("greeting of an old copy", "Greeting", say=lambda me: me.greeting(old=True)),  # type: ignore[attr-defined]
        Letter("I am here", "Beat", say=lambda _: Beat(1)),
        Letter("I have written", "Beat", holds("its_store_has_changed"), lambda me: Beat(me.written())),  # type: ignore[attr-defined]
        Letter("may it?", "Authorize", holds("number_is_new", "it_answers_the_module"), lambda me: me.authorize()),  # type: ignore[attr-defined]
        Letter("may it, again?", "Authorize", holds("it_was_decided"), lambda me: me.authorize(1)),  # type: ignore[attr-defined]
        Letter("for the host", "Payload", holds("number_is_new"), lambda me: Payload(me.next_number(), b"")),  # type: ignore[attr-defined]
        Letter("for the host, again", "Payload", say=lambda _: Payload(2, b"")),
        Letter("what it paid", "Outcome", holds("number_is_new"), lambda me: Outcome(me.next_number(), 1, 5000)),  # type: ignore[attr-defined]
        Letter("what it paid, again", "Outcome", say=lambda _: Outcome(3, 1, 5000)),
        Letter("a receipt of nothing", "Received", say=lambda _: Received(1)),
        Letter("a challenge", "ResetChallenge", say=_challenge),
        Letter(
            "look again",
            "AttentionCalled",
            holds("it_may_stay", "nothing_waits"),
            do=lambda me: _submit(me, AttentionCalled()),
            own=True,
        ),
        LOST,
        SILENCE,
    )


@cache
def _served() -> Beginning:
    player = CentralBeforeModule(personalized_world())
    player.hear(player.letters[0])
    for message in (
        player.greeting(),
        player.authorize(),
        Payload(player.next_number(), b""),
        Outcome(player.next_number(), 1, 5000),
    ):
        player.live.say(message)
    player.leave()
    assert (player.number, player.generation) == (3, 101)
    return Beginning.of(player.world)


class CentralThatResets(CentralBeforeModule):
    """A central system whose operator wants the module reset."""

    def __init__(self) -> None:
        super().__init__()
        self.world.order_reset()

    letters = (
        Letter("meet", "ChannelOpened", holds("module_is_certified")),
        Letter("greeting", "Greeting", holds("a_reset_is_due"), lambda me: me.greeting()),  # type: ignore[attr-defined]
        Letter(
            "challenge", "ResetChallenge", holds("challenge_is_for_this_epoch"), lambda _: ResetChallenge(0, bytes(32))
        ),
        Letter("a challenge of another epoch", "ResetChallenge", say=lambda _: ResetChallenge(1, bytes(32))),
        Letter("it is done", "ResetDone", holds("a_new_epoch_began"), lambda _: ResetDone(1)),
        Letter("it is done, in this epoch", "ResetDone", say=lambda _: ResetDone(0)),
        Letter("may it?", "Authorize", holds("number_is_new"), lambda me: me.authorize()),  # type: ignore[attr-defined]
        LOST,
        SILENCE,
    )


# Enrolling ---------------------------------------------------------------------------------------------------


class CardBeforeCentral(Player):
    """A card that enrols at the central system that it means, once."""

    table = CARD_ENROLLING

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.central = new_host(self.world)

    def meet(self) -> Trap:
        """The central system's end."""
        world, central = self.world, self.central
        terms = CentralEnrolling.of("New host", central.key, world.card.root, world.card.customer.fingerprint)
        return Trap(enrollment(world, central).sides[0], Intruder(terms, world.vault("central New host")))

    def request(self, key: KeyHandle) -> Message:
        """A request for a certificate, by this key."""
        draft = draft_request("New host", key.public)
        return Enrolled(draft.assemble(self.world.vault("central New host").sign(key, draft.to_be_signed)))

    def another_key(self) -> KeyHandle:
        """One that the channel is not with."""
        return self.world.vault("central New host").generate("another", KeyKind.P256, b"")

    letters = (
        Letter("meet", "ChannelOpened", holds("central_is_the_one_that_was_meant")),
        Letter("enrolled", "Enrolled", holds("request_is_for_its_key"), lambda me: me.request(me.central.key)),  # type: ignore[attr-defined]
        Letter("enrolled with another key", "Enrolled", say=lambda me: me.request(me.another_key())),  # type: ignore[attr-defined]
        Letter("a card's message", "Enroll", say=lambda _: Enroll(bytes(64))),
        LOST,
        SILENCE,
    )


class CentralBeforeCard(Player):
    """A central system that waits for the card that it means, once."""

    table = CENTRAL_ENROLLING

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.central = new_host(self.world)

    def meet(self) -> Trap:
        """The card's end."""
        card = self.world.card
        meant = key_digest(self.central.key.public)
        terms = CardEnrolling.of(card.customer, card.unit, card.authentication, meant, now=NOW)
        return Trap(enrollment(self.world, self.central).sides[1], Intruder(terms, card.keys, Purpose.ENROLL))

    def proof(self) -> Message:
        """The card's statement for this channel."""
        opened, card = self.live.intruder._handshake.opened, self.world.card
        assert opened is not None
        statement = proofs.enrollment(opened.binding, card.customer.der, self.central.key.public)
        return Enroll(card.keys.sign(card.authentication, statement))

    letters = (
        Letter("meet", "ChannelOpened", holds("card_is_the_one_that_was_meant")),
        Letter("enroll", "Enroll", holds("card_means_us"), lambda me: me.proof()),  # type: ignore[attr-defined]
        Letter("a statement of another channel", "Enroll", say=lambda _: Enroll(bytes(64))),
        Letter("a central system's message", "Enrolled", say=lambda _: Enrolled(b"\x30\x00")),
        LOST,
        SILENCE,
    )


PLAYERS: Final[tuple[type[Player], ...]] = (
    ModuleBeforeUnit,
    ModuleOnCable,
    DeliveredModule,
    ResetModule,
    UnitBeforeModule,
    UnitBeforeReport,
    UnitOnCable,
    UnitWithDoubts,
    ModuleBeforeCentral,
    CentralBeforeModule,
    CentralThatResets,
    CardBeforeCentral,
    CentralBeforeCard,
)
