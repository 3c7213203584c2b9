"""Trust option "conveyed" (A9): a random number goes through the channel and, by a mobile, around it.

The mobile has an authentic local link to the module and an authentic long-distance link to the unit; both sides use
fresh keys for the handshake. What the mobile carries is the number together with the exporter value of the module's
end of the channel: the number alone could be relayed (formal/conveyed.pv). The unit compares both with its own and has
the mobile bring back its word, with its own exporter value, which the module compares in turn. Only then do they go on.

What comes over a link of the mobile are events of their own, never messages: nobody in the channel can speak for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from hmac import compare_digest
from typing import Final

from ...engine import (
    Close,
    Effects,
    Fault,
    Forward,
    KeyHandle,
    Send,
    Show,
    StartTimer,
    StopTimer,
    Table,
    given,
    row,
)
from ...engine.secret_keys import Unshown
from ...messages import Conveyance, Number, NumberMaker, NumberSettled, NumberWanted, TrustOption, Verdict
from ...progress import MobileAwaited, PeerProved
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from ..proofs import Side
from .stage import PROOF_SECONDS, PROOF_TIMER, ProofStage, by_proof
from .terms import anybody, fresh_credential, named

UNIT_SECONDS: Final = 240.0
"""How long the unit waits for the person with the mobile: less than the module, so that the module learns of it."""
MODULE_SECONDS: Final = 300.0
MOBILE_TIMER: Final = "what a mobile brings"
"""Of either side's wait for the person; whoever lets it pass ends the session."""
OPTION: Final = TrustOption.CONVEYED

# What the links of the mobile bring --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NumberCame(Unshown):
    """At the module, from the mobile: the number, which the mobile made."""

    number: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class WordCame(Unshown):
    """At the module, from the mobile: the unit's word.

    Attributes:
        serial: the module that it is about.
        binding: the exporter value of the unit's end of the channel; None: the unit refused.

    """

    serial: str
    binding: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class NumberConveyed(Unshown):
    """At the unit, from a mobile: number and exporter value, as they crossed the local link.

    Attributes:
        serial: what the module says of itself there.
        binding: the exporter value of the module's end of the channel.
        number: the number.
        mobile: which mobile it was, as the long-distance link proves or reports it.

    """

    serial: str
    binding: bytes = field(repr=False)
    number: bytes = field(repr=False)
    mobile: str


# The module's side -------------------------------------------------------------------------------------------


class ModuleConveyed(Enum):
    """Where the module can be."""

    OPENED = auto()
    AWAITING_WISH = auto()
    AWAITING_NUMBER = auto()
    CONVEYING = auto()
    PROVED = auto()
    REFUSED = auto()


M = ModuleConveyed


@dataclass(frozen=True, slots=True)
class ModuleConveyedData:
    """What the module knows.

    Attributes:
        serial: its own serial number.
        number: fresh from its entropy, for the case that it is to make it.
        opened: the channel.
        proved: who is at the other end, once that is known.

    """

    serial: str
    number: bytes = field(repr=False)
    opened: ChannelOpened | None = None
    proved: Peer | None = None


def _conveyance(data: ModuleConveyedData, number: bytes | None) -> Effects:
    """What the mobile gets, and how long it is waited for. The exporter value goes with it (formal: load-bearing)."""
    return [
        Forward(Conveyance(serial=data.serial, binding=given(data.opened).binding, random=number)),
        Show(MobileAwaited(Side.MODULE.value, data.serial, MODULE_SECONDS)),
        StopTimer(PROOF_TIMER),
        StartTimer(MOBILE_TIMER, MODULE_SECONDS),
    ]


def the_unit_makes_it(_: ModuleConveyedData, event: NumberWanted) -> bool:
    """It came with the wish."""
    return event.maker is NumberMaker.UNIT and event.random is not None


def the_module_makes_it(_: ModuleConveyedData, event: NumberWanted) -> bool:
    """The maker is at our end."""
    return event.maker is NumberMaker.MODULE


def the_mobile_makes_it(_: ModuleConveyedData, event: NumberWanted) -> bool:
    """It is asked for it."""
    return event.maker is NumberMaker.MOBILE


def the_unit_vouched_for_this_channel(data: ModuleConveyedData, event: WordCame) -> bool:
    """The unit found number and exporter value right, and its end of the channel is that of this one."""
    if event.binding is None:
        return False
    return event.serial == data.serial and compare_digest(event.binding, given(data.opened).binding)


def await_wish(data: ModuleConveyedData, event: ChannelOpened) -> tuple[ModuleConveyedData, Effects]:
    """The unit says who makes the number."""
    return replace(data, opened=event), [StartTimer(PROOF_TIMER, PROOF_SECONDS)]


def convey_theirs(data: ModuleConveyedData, event: NumberWanted) -> tuple[ModuleConveyedData, Effects]:
    """The unit's number, to the mobile."""
    return data, _conveyance(data, given(event.random))


def convey_ours(data: ModuleConveyedData, _: NumberWanted) -> tuple[ModuleConveyedData, Effects]:
    """Our number, to both."""
    return data, [Send(Number(data.number)), *_conveyance(data, data.number)]


def ask_the_mobile(data: ModuleConveyedData, _: NumberWanted) -> tuple[ModuleConveyedData, Effects]:
    """The mobile is to make one."""
    return data, _conveyance(data, None)


def pass_on(data: ModuleConveyedData, event: NumberCame) -> tuple[ModuleConveyedData, Effects]:
    """The mobile's number, to the unit at once (0037)."""
    return data, [Send(Number(event.number))]


def settle(data: ModuleConveyedData, _: WordCame) -> tuple[ModuleConveyedData, Effects]:
    """Both ways agree: the unit may go on."""
    peer = by_proof(given(data.opened).peer, OPTION)
    note = Show(PeerProved(Side.MODULE.value, peer.name, OPTION))
    return replace(data, proved=peer), [StopTimer(MOBILE_TIMER), Send(NumberSettled()), note]


def end(data: ModuleConveyedData, _: WordCame) -> tuple[ModuleConveyedData, Effects]:
    """The mobile's unit is not at the other end of this channel, or refused."""
    return data, [Close(Fault.UNTRUSTED, "the unit that the mobile reached does not vouch for this channel")]


MODULE_CONVEYED: Final = Table[ModuleConveyed, ModuleConveyedData](
    "conveyed-module",
    ModuleConveyed,
    M.OPENED,
    [
        # in, on, if, do, then
        row(M.OPENED, ChannelOpened, None, await_wish, M.AWAITING_WISH),
        row(M.AWAITING_WISH, NumberWanted, the_unit_makes_it, convey_theirs, M.CONVEYING),
        row(M.AWAITING_WISH, NumberWanted, the_module_makes_it, convey_ours, M.CONVEYING),
        row(M.AWAITING_WISH, NumberWanted, the_mobile_makes_it, ask_the_mobile, M.AWAITING_NUMBER),
        row(M.AWAITING_NUMBER, NumberCame, None, pass_on, M.CONVEYING),
        row(M.CONVEYING, WordCame, the_unit_vouched_for_this_channel, settle, M.PROVED),
        row((M.AWAITING_NUMBER, M.CONVEYING), WordCame, None, end, M.REFUSED),
    ],
)

# The unit's side ---------------------------------------------------------------------------------------------


class UnitConveyed(Enum):
    """Where the unit can be."""

    OPENED = auto()
    AWAITING_BOTH = auto()
    AWAITING_MOBILE = auto()
    AWAITING_NUMBER = auto()
    AGREED = auto()
    PROVED = auto()
    REFUSED = auto()


U = UnitConveyed


@dataclass(frozen=True, slots=True)
class UnitConveyedData:
    """What the unit knows.

    Attributes:
        serial: the module that the job is for.
        mobiles: the mobiles that may convey, as their links prove or report them.
        maker: who makes the number.
        number: as it is in the channel: fresh from the unit's entropy where the unit makes it; None until it came.
        conveyed: what the mobile brought; None before.
        opened: the channel.
        proved: who is at the other end, once that is known.

    """

    serial: str
    mobiles: frozenset[str]
    maker: NumberMaker
    number: bytes | None = field(default=None, repr=False)
    conveyed: NumberConveyed | None = None
    opened: ChannelOpened | None = None
    proved: Peer | None = None


def is_of_this_channel(data: UnitConveyedData, conveyed: NumberConveyed) -> bool:
    """The module at which the mobile is has the other end of this channel (formal: load-bearing)."""
    return conveyed.serial == data.serial and compare_digest(conveyed.binding, given(data.opened).binding)


def is_that_number(number: bytes, conveyed: NumberConveyed) -> bool:
    """The number is the same on both ways."""
    return compare_digest(conveyed.number, number)


def the_unit_makes_it_here(data: UnitConveyedData, _: ChannelOpened) -> bool:
    """As was chosen."""
    return data.maker is NumberMaker.UNIT


def the_mobile_may_not(data: UnitConveyedData, event: NumberConveyed) -> bool:
    """It is none of those that this unit was told to believe."""
    return event.mobile not in data.mobiles


def what_was_conveyed_agrees(data: UnitConveyedData, event: NumberConveyed) -> bool:
    """The number came through the channel before."""
    return is_of_this_channel(data, event) and is_that_number(given(data.number), event)


def the_channel_agrees(data: UnitConveyedData, event: Number) -> bool:
    """The number was conveyed before it came through the channel."""
    conveyed = given(data.conveyed)
    return is_of_this_channel(data, conveyed) and is_that_number(event.random, conveyed)


def _await_mobile(data: UnitConveyedData) -> Effects:
    return [
        Show(MobileAwaited(Side.UNIT.value, data.serial, UNIT_SECONDS)),
        StartTimer(MOBILE_TIMER, UNIT_SECONDS),
    ]


def send_number(data: UnitConveyedData, event: ChannelOpened) -> tuple[UnitConveyedData, Effects]:
    """The unit's number goes to the module, and comes back by the mobile."""
    wish = NumberWanted(maker=data.maker, random=data.number)
    return replace(data, opened=event), [Send(wish), *_await_mobile(data)]


def ask_for_number(data: UnitConveyedData, event: ChannelOpened) -> tuple[UnitConveyedData, Effects]:
    """Somebody else makes it."""
    return replace(data, opened=event, number=None), [Send(NumberWanted(maker=data.maker)), *_await_mobile(data)]


def keep_number(data: UnitConveyedData, event: Number) -> tuple[UnitConveyedData, Effects]:
    """Through the channel, first."""
    return replace(data, number=event.random), []


def keep_conveyed(data: UnitConveyedData, event: NumberConveyed) -> tuple[UnitConveyedData, Effects]:
    """By the mobile, first."""
    return replace(data, conveyed=event), []


def turn_away(data: UnitConveyedData, event: NumberConveyed) -> tuple[UnitConveyedData, Effects]:
    """Another mobile changes nothing: else anybody could end this session."""
    return data, [Forward(Verdict(serial=data.serial))]


def vouch(data: UnitConveyedData, _: NumberConveyed | Number) -> tuple[UnitConveyedData, Effects]:
    """Both ways agree: the mobile brings this to the module."""
    word = Verdict(serial=data.serial, binding=given(data.opened).binding)
    return data, [Forward(word), StopTimer(MOBILE_TIMER), StartTimer(PROOF_TIMER, PROOF_SECONDS)]


def refuse(data: UnitConveyedData, _: NumberConveyed | Number) -> tuple[UnitConveyedData, Effects]:
    """Somebody sits in the channel, or the mobile is at another module."""
    reason = "what the mobile conveyed is not of this channel"
    return data, [Forward(Verdict(serial=data.serial)), Close(Fault.UNTRUSTED, reason)]


def go_on(data: UnitConveyedData, _: NumberSettled) -> tuple[UnitConveyedData, Effects]:
    """The module knows, too."""
    peer = by_proof(given(data.opened).peer, OPTION)
    note = Show(PeerProved(Side.UNIT.value, peer.name, OPTION))
    return replace(data, proved=peer), [StopTimer(PROOF_TIMER), note]


UNIT_CONVEYED: Final = Table[UnitConveyed, UnitConveyedData](
    "conveyed-unit",
    UnitConveyed,
    U.OPENED,
    [
        # in, on, if, do, then
        row(U.OPENED, ChannelOpened, the_unit_makes_it_here, send_number, U.AWAITING_MOBILE),
        row(U.OPENED, ChannelOpened, None, ask_for_number, U.AWAITING_BOTH),
        row(U.AWAITING_BOTH, NumberConveyed, the_mobile_may_not, turn_away, U.AWAITING_BOTH),
        row(U.AWAITING_BOTH, NumberConveyed, None, keep_conveyed, U.AWAITING_NUMBER),
        row(U.AWAITING_BOTH, Number, None, keep_number, U.AWAITING_MOBILE),
        row(U.AWAITING_NUMBER, Number, the_channel_agrees, vouch, U.AGREED),
        row(U.AWAITING_NUMBER, Number, None, refuse, U.REFUSED),
        row(U.AWAITING_MOBILE, NumberConveyed, the_mobile_may_not, turn_away, U.AWAITING_MOBILE),
        row(U.AWAITING_MOBILE, NumberConveyed, what_was_conveyed_agrees, vouch, U.AGREED),
        row(U.AWAITING_MOBILE, NumberConveyed, None, refuse, U.REFUSED),
        row(U.AGREED, NumberSettled, None, go_on, U.PROVED),
    ],
)

# Terms -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModuleByConveyed:
    """The module's side.

    Attributes:
        serial: its own serial number.
        number: 16 fresh random bytes, for this session only.
        own: a claims set around `key`, with the serial number.
        key: a fresh pair, made for this session.

    """

    serial: str
    number: bytes = field(repr=False)
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = OPTION
    method: int = Method.STATIC

    @classmethod
    def of(cls, serial: str, key: KeyHandle, number: bytes) -> ModuleByConveyed:
        """The terms of the module `serial`."""
        return cls(serial, number, fresh_credential(serial, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Anybody for now; the mobile brings the unit's word."""
        return anybody(claim)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """The number, and the unit's word on it."""
        return ProofStage(MODULE_CONVEYED, M.OPENED, ModuleConveyedData(self.serial, self.number))


@dataclass(frozen=True, slots=True)
class UnitByConveyed:
    """The unit's side.

    Attributes:
        serial: the module that the job is for.
        mobiles: the mobiles that may convey.
        maker: who makes the number.
        number: 16 fresh random bytes, for this session only.
        own: a claims set around `key`, with the unit's name.
        key: a fresh pair, made for this session.

    """

    serial: str
    mobiles: frozenset[str]
    maker: NumberMaker
    number: bytes = field(repr=False)
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = OPTION
    method: int = Method.STATIC

    @classmethod
    def of(
        cls, name: str, key: KeyHandle, serial: str, *, mobiles: frozenset[str], maker: NumberMaker, number: bytes
    ) -> UnitByConveyed:
        """The terms of the unit called `name` for the module `serial`."""
        return cls(serial, mobiles, maker, number, fresh_credential(name, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """No module of another serial number; whether it is that one, the mobile tells.

        Raises:
            ProtocolError: another kind of credential, or another module's.

        """
        return named(claim, self.serial)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """The comparison."""
        data = UnitConveyedData(self.serial, self.mobiles, self.maker, self.number)
        return ProofStage(UNIT_CONVEYED, U.OPENED, data)
