"""The stages of proof, each with a peer that holds what the option asks for, for `black_box` to learn.

What is learned is the stage and what follows: that the party's own table hears of the channel when the peer has proved
itself and not before. A proof is made by the peer's own key memory for the channel that stands.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from black_box import LOST, SILENCE, Done, Letter
from courier import MOBILE_NAME
from intruder import Intruder, Trap
from pump import Side as LineSide
from wire_players import STREAM, ModuleBeforeUnit, UnitBeforeModule, order
from wire_players import holds as guards
from world import SERIAL, World, shared_secret, shipped_key

from insitu.protocol.channel import proofs
from insitu.protocol.channel.proofs import Side
from insitu.protocol.channel.trust import (
    SECRET,
    SHIPPED,
    BySecret,
    ByShippedKey,
    ModuleByConveyed,
    ModuleByTicket,
    UnitByConveyed,
    UnitByTicket,
    conveyed,
    mutual,
    pake,
    ticket,
)
from insitu.protocol.channel.trust.conveyed import NumberCame, NumberConveyed, WordCame
from insitu.protocol.engine import Close, Fault, KeyHandle, KeyKind, Prove, SecretHandle
from insitu.protocol.messages import (
    KeyPolicy,
    Message,
    Number,
    NumberMaker,
    NumberSettled,
    NumberWanted,
    PakeShare,
    Proof,
    Ticket,
    TrustOption,
)
from insitu.shell.module import Module

NUMBER = bytes(range(16))
UNTRUSTED = Done((), (), Close(Fault.UNTRUSTED))


class _Peer:
    """What both peers of a proof have in common: keys, and the channel that stands."""

    option: TrustOption
    side: Side
    live: Trap
    serial: str = SERIAL

    @property
    def vault(self) -> Any:
        """The peer's key memory."""
        return self.live.intruder._vault

    @property
    def opened(self) -> Any:
        """The channel."""
        return self.live.intruder._handshake.opened

    def fresh(self, vault: Any) -> KeyHandle:
        """A key for this session."""
        return vault.generate(f"session {len(vault.labels())}", KeyKind.P256, b"")  # type: ignore[no-any-return]

    def mac(self, secret: SecretHandle, *, side: Side | None = None) -> Message:
        """A proof, for the peer's own side or the other one."""
        about = (self.opened.binding, self.option.text, side or self.side, self.serial)
        return Proof(self.vault.use(secret, Prove(proofs.possession_of_secret(*about))))

    def event(self, event: object) -> None:
        """Something comes over the party's second link."""
        victim = self.live.victim
        victim.take(victim.session.submit(event, victim.now()))


# Both hold a key ---------------------------------------------------------------------------------------------

_WRONG = Letter("a proof of nothing", "Proof", say=lambda _: Proof(bytes(32)))
_PROVED = guards("personalization_is_the_purpose", "it_wants_personalization")


class ModuleProvesKey(_Peer, ModuleBeforeUnit):
    """A module with the key that its documents name, before a unit that was told it."""

    option = TrustOption.SHIPPED_KEY
    side = Side.UNIT
    stage = mutual.MODULE_PROOF
    holds = MappingProxyType({"DELIVERED": _PROVED})
    unheard = MappingProxyType({("refuse", "SecretUsed"): UNTRUSTED})

    def __init__(self, world: World | None = None, module: Module | None = None) -> None:
        world = world or World()
        super().__init__(world, module or world.module)

    def meet(self) -> Trap:
        """A unit's end."""
        vault = self.world.vault("peer")
        terms = ByShippedKey.unit("Bank", self.fresh(vault), _shared(vault, self.serial), self.serial)
        return Trap(LineSide("module", self.module.meet_unit(STREAM, self.option)), Intruder(terms, vault))

    letters = (
        Letter("meet", "ChannelOpened"),
        Letter("the right proof", "Proof", guards("the_mac_is_right"), lambda me: me.mac(_shared(me.vault))),  # type: ignore[attr-defined]
        Letter("its own proof", "Proof", say=lambda me: me.mac(_shared(me.vault), side=Side.MODULE)),  # type: ignore[attr-defined]
        _WRONG,
        Letter("make a new key", "GenerateKeyPair", say=order(KeyPolicy.NEW)),
        LOST,
        SILENCE,
    )


def _shared(vault: Any, serial: str = SERIAL) -> SecretHandle:
    found = vault.find_secret(SHIPPED)
    return vault.storage.share(SHIPPED, shipped_key(serial)) if found is None else found  # type: ignore[no-any-return]


class UnitProvesKey(_Peer, UnitBeforeModule):
    """A unit that was told the key, before the module."""

    option = TrustOption.SHIPPED_KEY
    side = Side.MODULE
    stage = mutual.UNIT_PROOF
    holds = MappingProxyType({"READY": _PROVED})
    unheard = MappingProxyType({("refuse", "SecretUsed"): UNTRUSTED})

    def __init__(self) -> None:
        super().__init__()
        self.world.equip(self.option)

    def terms(self, vault: Any) -> Any:
        """Of a module."""
        return ByShippedKey.module(SERIAL, self.fresh(vault), _shared(vault))

    def meet(self) -> Trap:
        """A module's end."""
        vault = self.world.vault(SERIAL)
        unit = self.world.new_unit().personalize(STREAM, SERIAL, self.option)
        return Trap(LineSide("unit", unit), Intruder(self.terms(vault), vault, self.purpose))

    letters = (
        Letter("meet", "ChannelOpened"),
        Letter("the right proof", "Proof", guards("the_mac_is_right"), lambda me: me.mac(_shared(me.vault))),  # type: ignore[attr-defined]
        Letter("a proof as the unit", "Proof", say=lambda me: me.mac(_shared(me.vault), side=Side.UNIT)),  # type: ignore[attr-defined]
        _WRONG,
        UnitBeforeModule.letters[1],
        LOST,
        SILENCE,
    )


# Both know a secret ------------------------------------------------------------------------------------------


class _Exchange(_Peer):
    """A peer that knows the secret; its own half of an exchange is new for each share that it says.

    Attributes:
        way: the terms of such an exchange.

    """

    way: type[BySecret] = BySecret
    number: int = 0

    def password(self) -> bytes:
        """What both were told."""
        return shared_secret(self.serial)

    def share(self) -> Message:
        """Its share of a new exchange."""
        self.number += 1
        known = self.vault.find_secret(SECRET)
        password = self.vault.storage.share_password(SECRET, self.password()) if known is None else known
        binding = self.opened.binding
        identities = tuple(proofs.exchange_identity(binding, self.option.text, side, self.serial) for side in Side)
        begins = self.side is Side.MODULE
        return PakeShare(self.vault.start_pake(f"exchange {self.number}", password, identities, begins=begins))

    def agree(self) -> Message:
        """The proof by the key of the last exchange, if there was one."""
        theirs = [each.share for each in self.live.intruder.got if isinstance(each, PakeShare)]
        label = f"exchange {self.number}"
        if not theirs or not self.number:
            return Proof(bytes(32))
        key = self.vault.find_secret(label)
        try:
            key = self.vault.finish_pake(label, theirs[-1]) if key is None else key
        except Exception:  # it was finished, or never begun in this session
            return Proof(bytes(32))
        return self.mac(key)


_EXCHANGED = (
    Letter("meet", "ChannelOpened"),
    Letter("a share", "PakeShare", say=lambda me: me.share()),  # type: ignore[attr-defined]
    Letter("the right proof", "Proof", guards("the_mac_is_right"), lambda me: me.agree()),  # type: ignore[attr-defined]
    _WRONG,
)


class ModuleKnowsSecret(_Exchange, ModuleProvesKey):
    """A module that was told a secret."""

    option = TrustOption.SECRET
    stage = pake.MODULE_PAKE
    holds = MappingProxyType({"DELIVERED": _PROVED | guards("the_secret_is_here")})
    letters = (*_EXCHANGED, ModuleProvesKey.letters[4], LOST, SILENCE)

    def meet(self) -> Trap:
        """A unit's end; the module has an identity and proves that as well."""
        vault = self.world.vault("peer")
        terms = self.way.unit("Bank", self.fresh(vault), None, self.serial, root=self.world.card.root, crl=None)
        return Trap(LineSide("module", self.module.meet_unit(STREAM, self.option)), Intruder(terms, vault))


class UnitKnowsSecret(_Exchange, UnitProvesKey):
    """A unit that was told a secret."""

    option = TrustOption.SECRET
    stage = pake.UNIT_PAKE
    letters = (*_EXCHANGED, UnitBeforeModule.letters[1], LOST, SILENCE)

    def terms(self, vault: Any) -> Any:
        """Of a module."""
        identity = vault.find("identity")
        assert identity is not None
        return self.way.module(self.world.module.record, identity, None)


# A ticket ----------------------------------------------------------------------------------------------------


class ModuleShowsTicket(ModuleProvesKey):
    """A module that its manufacturer gave a ticket; it has nothing to ask."""

    option = TrustOption.TICKET
    stage = ticket.TICKET_MODULE
    proved = "SHOWN"
    letters = (ModuleProvesKey.letters[0], ModuleProvesKey.letters[4], _WRONG, LOST, SILENCE)

    def meet(self) -> Trap:
        """A unit's end."""
        vault = self.world.vault("peer")
        terms = UnitByTicket.of("Bank", self.fresh(vault), SERIAL)
        return Trap(LineSide("module", self.module.meet_unit(STREAM, self.option)), Intruder(terms, vault))


class UnitAsksForTicket(UnitProvesKey):
    """A unit whose card gave out tickets."""

    option = TrustOption.TICKET
    stage = ticket.TICKET_UNIT
    unheard = MappingProxyType({("refuse", "TicketRefused"): UNTRUSTED})

    def terms(self, vault: Any) -> Any:
        """Of a module."""
        return ModuleByTicket.of(self.world.module.record, vault.find("identity"))

    def show(self) -> Message:
        """The ticket."""
        made = self.world.module.record.ticket
        assert made is not None
        return Ticket(made.number, made.mac)

    letters = (
        Letter("meet", "ChannelOpened"),
        Letter("the ticket", "Ticket", say=lambda me: me.show()),  # type: ignore[attr-defined]
        Letter(
            "another's ticket",
            "Ticket",
            say=lambda _: Ticket(1, bytes(32)),
            answers={"LookUp ticket": "TicketRefused"},
        ),
        UnitBeforeModule.letters[1],
        LOST,
        SILENCE,
    )


# A number that is conveyed -----------------------------------------------------------------------------------


class ModuleHasMobile(ModuleProvesKey):
    """A module with a mobile beside it, whose unit vouches for a channel or does not."""

    option = TrustOption.CONVEYED
    stage = conveyed.MODULE_CONVEYED
    unheard = MappingProxyType({("end", "WordCame"): UNTRUSTED})

    def __init__(self, world: World | None = None, module: Module | None = None) -> None:
        super().__init__(world, module)
        self.world.courier._from_module = lambda link, message: None  # type: ignore[method-assign]

    def meet(self) -> Trap:
        """A unit's end."""
        vault = self.world.vault("peer")
        about = {"mobiles": frozenset({MOBILE_NAME}), "maker": NumberMaker.UNIT, "number": NUMBER}
        terms = UnitByConveyed.of("Bank", self.fresh(vault), SERIAL, **about)  # type: ignore[arg-type]
        return Trap(LineSide("module", self.module.meet_unit(STREAM, self.option)), Intruder(terms, vault))

    letters = (
        ModuleProvesKey.letters[0],
        Letter(
            "a number",
            "NumberWanted",
            guards("the_unit_makes_it"),
            lambda _: NumberWanted(maker=NumberMaker.UNIT, random=NUMBER),
        ),
        Letter(
            "make one", "NumberWanted", guards("the_module_makes_it"), lambda _: NumberWanted(maker=NumberMaker.MODULE)
        ),
        Letter(
            "the mobile makes one",
            "NumberWanted",
            guards("the_mobile_makes_it"),
            lambda _: NumberWanted(maker=NumberMaker.MOBILE),
        ),
        Letter("the mobile's number", "NumberCame", do=lambda me: me.event(NumberCame(NUMBER)), own=True),  # type: ignore[attr-defined]
        Letter(
            "the unit vouches",
            "WordCame",
            guards("the_unit_vouched_for_this_channel"),
            do=lambda me: me.event(WordCame(SERIAL, me.opened.binding)),  # type: ignore[attr-defined]
            own=True,
        ),
        Letter(
            "it vouches for another channel",
            "WordCame",
            do=lambda me: me.event(WordCame(SERIAL, bytes(32))),  # type: ignore[attr-defined]
            own=True,
        ),
        ModuleProvesKey.letters[4],
        LOST,
    )


class UnitAwaitsMobile(UnitProvesKey):
    """A unit that makes the number, and hears by a mobile what arrived; another mobile changes nothing."""

    option = TrustOption.CONVEYED
    stage = conveyed.UNIT_CONVEYED
    holds = MappingProxyType({"READY": _PROVED | guards("the_unit_makes_it_here")})
    unheard = MappingProxyType(
        {
            ("refuse", "NumberConveyed"): UNTRUSTED,
            ("turn_away", "NumberConveyed"): Done((), (), None),
        }
    )

    def terms(self, vault: Any) -> Any:
        """Of a module."""
        return ModuleByConveyed.of(SERIAL, self.fresh(vault), NUMBER)

    def conveyed(self, mobile: str = MOBILE_NAME, binding: bytes | None = None) -> None:
        """What a mobile brings."""
        number = next((each.random for each in self.live.intruder.got if isinstance(each, NumberWanted)), None)
        self.event(NumberConveyed(SERIAL, binding or self.opened.binding, number or NUMBER, mobile))

    letters = (
        UnitProvesKey.letters[0],
        Letter(
            "it is conveyed",
            "NumberConveyed",
            guards("what_was_conveyed_agrees"),
            do=lambda me: me.conveyed(),  # type: ignore[attr-defined]
            own=True,
        ),
        Letter(
            "of another channel",
            "NumberConveyed",
            do=lambda me: me.conveyed(binding=bytes(32)),
            own=True,  # type: ignore[attr-defined]
        ),
        Letter(
            "by another mobile",
            "NumberConveyed",
            guards("the_mobile_may_not"),
            do=lambda me: me.conveyed("caller +49"),  # type: ignore[attr-defined]
            own=True,
        ),
        Letter("a number", "Number", say=lambda _: Number(NUMBER)),
        Letter("settled", "NumberSettled", say=lambda _: NumberSettled()),
        UnitBeforeModule.letters[1],
        LOST,
    )


PROVERS = (
    ModuleProvesKey,
    UnitProvesKey,
    ModuleKnowsSecret,
    UnitKnowsSecret,
    ModuleShowsTicket,
    UnitAsksForTicket,
    ModuleHasMobile,
    UnitAwaitsMobile,
)
