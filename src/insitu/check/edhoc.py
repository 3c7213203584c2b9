"""The worlds in which the handshake is the product's: its two tables, real EDHOC, and an intruder between the ends.

They are those of personalizing.py with as few sessions as can be, but for the handshakes. Frames are the bytes that
would be on the wire: the intruder drops, doubles, reorders and reflects them, brings old ones to any session that runs,
makes error messages and changes what message 1 offers, and shakes hands himself at either end, also with certificates
of the honest that he read, and no key to them. The stages of a handshake can be used once and are never copied: whoever
goes on from the same place does all of it once more, with the same entropy. The records after it are still symbols,
named by the exporter value of their channel.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Self

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ..protocol.channel.cose import octets
from ..protocol.channel.edhoc import Credential, ErrorCode, ErrorMessage, IdCred, X5Chain
from ..protocol.channel.edhoc.ead import encode_ead
from ..protocol.channel.edhoc.messages import read_message_1, write_message_1
from ..protocol.channel.handshake import Handshake
from ..protocol.channel.opened import ChannelOpened, Peer
from ..protocol.channel.records import Records
from ..protocol.channel.trust import ProofStage
from ..protocol.channel.trust.terms import SUITES, anybody, fresh_credential
from ..protocol.engine import (
    Close,
    Effect,
    Fault,
    InsituError,
    KeyHandle,
    KeyKind,
    KeyOperation,
    PublicKey,
    Send,
    given,
)
from ..protocol.messages import Intent, Purpose, TrustOption
from ..protocol.ports import Ports, perform
from ..shell.module import Module
from . import invariants as personal
from .attacks import WITHSTOOD
from .channel import CheckedHandshake, CheckedSession, Frame, SymbolicRecords
from .intruder import Intruder
from .memory import Repeated
from .parties import ModuleParty, UnitParty
from .personalizing import Personalizing
from .state import IDLE, Fact, Limits, Local, Move, State
from .values import canonical, digest
from .world import BANKS, NOW, SERIAL, Beginning, Loot, Store, card_of, now

BEST: Final = 3
"""The suite that both sides like best."""
_KINDS: Final = {
    "OFFERED": "message 1",
    "APPROACHED": "message 2",
    "ANSWERED": "message 2",
    "COMMITTED": "message 3",
    "ESTABLISHED": "message 4",
}
"""What is sent by a step that ends in this state; in any other an error."""
_AWAITED: Final = {"OFFERED": "message 2", "COMMITTED": "message 4"}
"""By an initiator."""


class WireFrame(Frame):
    """A frame of a handshake, as its bytes are; what kind it is, and what it answers, is known to the search only."""

    def __new__(cls, kind: str, wire: bytes, answers: bytes = b"") -> Self:
        """Make it. `answers`: the frame that its sender received last."""
        made = bytes.__new__(cls, wire)
        made.content = kind, digest(answers), wire
        return made


class _Real(Handshake):
    """The product's, which shows where it is."""

    @property
    def where(self) -> str:
        """The state of its table."""
        return self._state.name


class EdhocHandshake(CheckedHandshake):
    """One side of a real handshake, gone on with from the same place by doing all once more.

    Its arguments are those of CheckedHandshake; from its name its entropy follows.
    """

    _inputs: tuple[tuple[str, object, int], ...] = ()
    _sent = _received = b""
    _refused = False
    _real: _Real | None = None

    @classmethod
    def instead_of(cls, other: CheckedHandshake) -> EdhocHandshake:
        """With the same terms."""
        return cls(other.terms, other.name, purpose=other.purpose, purposes=other.purposes)

    def fork(self) -> Self:
        """See CheckedHandshake."""
        other = super().fork()
        vars(other)["_real"] = None
        return other

    @property
    def identity(self) -> Hashable:
        """See CheckedHandshake."""
        return self.name, canonical(self._inputs)

    @property
    def where(self) -> str:
        """The state of its table."""
        return self._whole().where

    @property
    def told(self) -> bool:
        """Whether one side told the other that it is over: an error came, was sent or was to be sent."""
        return any(how == "farewell" for how, *_ in self._inputs) or self._refused

    @property
    def refusals(self) -> int:
        """How often it has named its suites, and waits for another message 1."""
        return sum(how == "receive" for how, *_ in self._inputs) if self.where == "LISTENING" else 0

    @property
    def sent(self) -> bytes:
        """The frame that it sent last."""
        return self._sent

    @property
    def received(self) -> bytes:
        """The frame that it received last."""
        return self._received

    def records(self) -> Records:
        """See Handshake."""
        return SymbolicRecords(given(self.opened).binding, initiator=self.initiator)

    def start(self, at: int) -> list[Effect]:
        """See Handshake."""
        return self._fed("start", None, at)

    def receive(self, frame: bytes, at: int) -> list[Effect]:
        """See Handshake."""
        self._received = bytes(frame)
        return self._fed("receive", bytes(frame), at)

    def answer(self, event: object, at: int) -> list[Effect]:
        """See Handshake."""
        return self._fed("answer", event, at)

    def farewell(self, fault: Fault) -> list[bytes]:
        """See Handshake."""
        frames = self._whole().farewell(fault)
        self._inputs = (*self._inputs, ("farewell", fault, 0))
        return [WireFrame("error", frame, self._received) for frame in frames]

    def expects(self, frame: bytes) -> bool:
        """See CheckedHandshake."""
        awaited = _AWAITED.get(self.where) if self.initiator else {"ANSWERED": "message 3"}.get(self.where)
        return isinstance(frame, WireFrame) and frame.content[:2] == (awaited, digest(self._sent))

    def _whole(self) -> _Real:
        """The product's, with all that it was told so far."""
        if self._real is None:
            entropy = Repeated(f"handshake of {self.name}")(64)
            begun = (
                _Real.initiate(self.terms, self.purpose, entropy)
                if self.purposes is None
                else _Real.respond(self.terms, self.purposes, entropy)
            )
            assert isinstance(begun, _Real)  # noqa: S101 - it is made of that class
            self._real = begun
            for told in self._inputs:
                with suppress(InsituError):  # as the first time
                    _told(begun, *told)
        return self._real

    def _fed(self, how: str, what: object, at: int) -> list[Effect]:
        real = self._whole()
        self._inputs = (*self._inputs, (how, what, at))
        try:
            effects = _told(real, how, what, at)
        finally:
            self.opened, self.error = real.opened, real.error
        if real.opened is not None and self._facts is None:
            self._facts = real.facts
        self._refused |= any(isinstance(effect, Close) for effect in effects)
        kind = _KINDS.get(real.where, "error")
        return [self._wired(effect, kind) for effect in effects]

    def _wired(self, effect: Effect, kind: str) -> Effect:
        if not isinstance(effect, Send) or not isinstance(effect.message, bytes):
            return effect
        self._sent = effect.message
        return Send(WireFrame(kind, effect.message, self._received))


def _told(real: Handshake, how: str, what: Any, at: int) -> list[Effect]:  # noqa: ANN401 - of four kinds
    match how:
        case "start":
            return real.start(at)
        case "receive":
            return real.receive(what, at)
        case "answer":
            return real.answer(what, at)
    real.farewell(what)
    return []


# Parties -----------------------------------------------------------------------------------------------------------


def _really(session: CheckedSession) -> CheckedSession:
    session.shake(EdhocHandshake.instead_of(session.handshake))
    return session


@dataclass(frozen=True)
class ModuleByEdhoc(ModuleParty):
    """A module whose handshakes are real."""

    def begin(self, store: Store, name: str) -> CheckedSession:
        """See Party."""
        return _really(ModuleParty.begin(self, store, name))


@dataclass(frozen=True)
class UnitByEdhoc(UnitParty):
    """A unit whose handshakes are real."""

    def begin(self, store: Store, name: str) -> CheckedSession:
        """See Party."""
        return _really(UnitParty.begin(self, store, name))


# The intruder ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Anybody:
    """The intruder's terms: he meets whoever is there, by the method that the other side pins."""

    option: TrustOption
    method: int
    own: Credential = field(repr=False)
    key: KeyHandle

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """Whoever it is."""
        if not isinstance(claim, X5Chain):
            return anybody(claim)
        key = x509.load_der_x509_certificate(claim.certificates[0]).public_key()
        public = PublicKey(KeyKind.P256, key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
        return Credential.x5chain(claim.certificates, public), Peer("whoever", None, public)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """He has nothing to prove."""
        return None


class _Intruder(Intruder):
    """The intruder, who shakes hands for real. `method`: that the honest pin."""

    method: int = 0

    def _ends(self, loot: Loot, name: str) -> _Anybody:
        public = loot.key.public
        own = Credential.x5chain(loot.certificates, public) if loot.certificates else fresh_credential(name, loot.key)
        return _Anybody(self.option, self.method, own, loot.key)

    def calls(
        self, victim: CheckedSession, loot: Loot, purpose: Purpose
    ) -> tuple[Frame, Callable[[Frame], Frame | None]]:
        """See Intruder."""
        entropy = Repeated(f"intruder by {loot.name}, {purpose.name}")(64)
        mine = Handshake.initiate(self._ends(loot, SERIAL), purpose, entropy)
        return given(_spoken(mine, loot, mine.start(NOW))), lambda frame: _answer_to(mine, loot, frame)

    def called(self, loot: Loot) -> Callable[[Frame], Frame | None]:
        """See Intruder."""
        mine = Handshake.respond(
            self._ends(loot, BANKS[0]), frozenset(Purpose), Repeated(f"intruder by {loot.name}")(64)
        )
        return lambda frame: _answer_to(mine, loot, frame)


def _copied(start: Beginning, own: Loot) -> Iterator[Loot]:
    """Certificates of the honest, which anybody can read, and no key to them but his own."""
    unit, identity = (
        card_of(start.units[BANKS[0]].vault.fork()),
        Module(start.module.vault.fork(), now=now).record.identity,
    )
    yield Loot("a copy of the unit's certificates", own.vault, own.key, (unit.unit, unit.customer.der))
    yield Loot(f"a copy of the identity of {SERIAL}", own.vault, own.key, (given(identity),))


def _answer_to(mine: Handshake, loot: Loot, frame: Frame) -> Frame | None:
    try:
        return _spoken(mine, loot, mine.receive(bytes(frame), NOW))
    except InsituError:
        return None


def _spoken(mine: Handshake, loot: Loot, effects: list[Effect]) -> Frame | None:
    """What he sends, once his key memory has done what it is asked."""
    for effect in effects:
        if isinstance(effect, KeyOperation):
            return _spoken(mine, loot, mine.answer(perform(effect, Ports(loot.vault)), NOW))
        if isinstance(effect, Send) and isinstance(effect.message, bytes):
            return WireFrame("his", effect.message)
    return None


# The world ---------------------------------------------------------------------------------------------------------


class Shaking(Personalizing):
    """One trust option, with real handshakes; nobody resets anything, approves another job or cuts the power.

    Args:
        option: of all honest sessions.
        module, first, second: sessions, see Limits.
        failures: of key memory.
        made: how many frames the intruder makes or brings again.

    """

    def __init__(
        self, option: TrustOption, *, module: int = 1, first: int = 1, second: int = 0, failures: int = 0, made: int = 1
    ) -> None:
        limits = Limits(module, first, second, crashes=0, resets=0, jobs=0, failures=failures)
        super().__init__(option, WITHSTOOD[option], limits=limits)
        here, *units = self.places
        party, start = ModuleByEdhoc(option, self.start), self.start
        parties = (UnitByEdhoc(option, start, bank) for bank in BANKS)
        self.places = (
            replace(here, party=party),
            *(replace(unit, party=each) for unit, each in zip(units, parties, strict=True)),
        )
        intruder = _Intruder(start, option, self.powers)
        begun = given(self._begun(super().initial(), 0, IDLE))[0].slots[0]
        intruder.method = self.ends[begun.end].session.handshake.terms.method
        intruder.loot += _copied(self.start, intruder.own)
        self.intruder = intruder
        self._made = made

    def initial(self) -> State:
        """See Scenario."""
        first = super().initial()
        return first._replace(left=(*first.left, self._made))

    def consequences(self, before: State, after: State, place: int, local: Local) -> State:
        """See Scenario: what crossed, who opened a channel, who proved itself; what is out of place."""
        after = super().consequences(before, after, place, local)
        session = local.done.last if local.done.end is None else local.done.end.session
        if session is None or not isinstance(session.handshake, EdhocHandshake):
            return after
        shaken = session.handshake
        new: list[Fact] = [("crossed", number) for number in local.sent if self._is_wire(number)]
        public = shaken.terms.key.public
        if shaken.opened is not None:
            facts, peer = shaken.facts, shaken.opened.peer.public
            about = facts.suite.number, int(facts.method), shaken.opened.intent, shaken.opened.binding
            new.append(("opened", shaken.initiator, public, peer, *about, digest(shaken.received)))
        if shaken.where == "COMMITTED":
            new.append(("proved", public, digest(shaken.sent)))
        wrong = _misplaced(session, shaken)
        if wrong:
            new.append(("misplaced", wrong))
        return after._replace(facts=self.happened(after.facts, tuple(new)))

    def _is_wire(self, number: int) -> bool:
        return isinstance(self.frames[number], WireFrame)

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario: an old frame, or one that the intruder makes, comes to a handshake that runs."""
        yield from super().others(state)
        if not state.left[_MADE]:
            return
        crossed = sorted(int(str(fact[1])) for fact in self.facts[state.facts] if fact[0] == "crossed")
        for place, slot in enumerate(state.slots):
            if slot.end == IDLE or self.ends[slot.end].session.records is not None:
                continue
            for frame in dict.fromkeys((*crossed, *map(self.frame_number, self._crafted(crossed)))):
                for move, after in self._with_crashes(state, place, slot, frame, "inject", "intruder", slot.inbox):
                    yield move, self.less(after, _MADE)

    def _crafted(self, crossed: list[int]) -> Iterator[WireFrame]:
        """Nothing in an error or in message 1 is authenticated when it comes."""
        yield WireFrame("an error", ErrorMessage(ErrorCode.UNSPECIFIED, text="no").encode())
        yield WireFrame("an error, another suite", ErrorMessage(ErrorCode.WRONG_SUITE, suites=(2,)).encode())
        yield WireFrame("noise", octets(bytes(40)))
        for number in crossed:
            if self.frames[number].kind == "message 1":
                read = read_message_1(bytes(self.frames[number]))
                for text, method, suites in (
                    ("with another suite", read.method, (2,)),
                    ("with a suite of nobody's", read.method, (6,)),
                    ("with another method", (read.method + 1) % 4, read.suites),
                ):
                    changed = write_message_1(method, suites, read.g_x, read.c_i, encode_ead(read.ead))
                    yield WireFrame(f"message 1 {text}", changed)


_MADE: Final = 4
"""Where in `State.left` it says how many frames the intruder may still make; after what Personalizing has there."""


_WAITING: Final = frozenset({"OFFERED", "COMMITTED", "LISTENING", "ANSWERED", "ESTABLISHED"})
"""Where a handshake can be when all is done that followed from a frame; ANSWERED is a responder's."""


def _misplaced(session: CheckedSession, shaken: EdhocHandshake) -> str:
    """What is wrong with where a handshake is; empty: nothing."""
    if (session.records is not None) != (shaken.where == "ESTABLISHED"):
        return f"{session.party}: a channel with a handshake in {shaken.where}"
    if session.closed:
        lost = not shaken.told or session.records is not None
        return "" if lost or shaken.where == "FAILED" else f"{session.party}: it is refused, and in {shaken.where}"
    if shaken.where not in _WAITING or (shaken.initiator and shaken.where == "ANSWERED"):
        return f"{session.party}: it waits for nothing, in {shaken.where}"
    return f"{session.party}: it is asked for suites too often" if shaken.refusals > len(SUITES) else ""


# What must hold ----------------------------------------------------------------------------------------------------


class _Opened(NamedTuple):
    """One end of a channel that was opened; see Facts."""

    initiator: bool
    own: PublicKey
    peer: PublicKey
    suite: int
    method: int
    intent: Intent
    binding: bytes
    last: bytes


def _opened(seen: personal.Seen) -> list[_Opened]:
    return [_Opened(*fact[1:]) for fact in seen.facts if fact[0] == "opened"]  # type: ignore[arg-type]


def s13_nobody_is_talked_down(seen: personal.Seen) -> str:
    """S13: every channel is by the method that was pinned and the suite that both sides like best."""
    assert isinstance(seen.scenario.intruder, _Intruder)  # noqa: S101 - for whose worlds it is
    for each in _opened(seen):
        if each.suite != BEST or each.method != seen.scenario.intruder.method:
            return f"a channel by suite {each.suite} and method {each.method}"
    return ""


def s10_two_ends_have_a_channel_and_no_third(seen: personal.Seen) -> str:
    """S10, S13: with the same exporter value, one began and one answered, each met the other, for the same purpose."""
    ends: dict[bytes, list[_Opened]] = {}
    for each in _opened(seen):
        ends.setdefault(each.binding, []).append(each)
    for found in ends.values():
        one, other = found[0], found[-1]
        if len(found) > 2 or (len(found) == 2 and one.initiator == other.initiator):
            return "a channel has more ends than two"
        if len(found) == 2 and (one.own, one.peer, one.intent) != (other.peer, other.own, other.intent):
            return "the two ends of a channel met somebody else, or for something else"
    return ""


def s10_whom_an_end_met_was_there(seen: personal.Seen) -> str:
    """S10, S11: whoever holds a key that is not the intruder's has itself proved so, in that very handshake."""
    his = {loot.key.public for loot in seen.scenario.intruder.loot}
    answered = {each.binding for each in _opened(seen) if not each.initiator}
    proved = {fact[1:] for fact in seen.facts if fact[0] == "proved"}
    for each in _opened(seen):
        if each.peer in his:
            continue
        if each.initiator and each.binding not in answered:
            return "the module met a unit that was not there"
        if not each.initiator and (each.peer, each.last) not in proved:
            return "a unit met a module that was not there"
    return ""


def a_handshake_is_where_it_says(seen: personal.Seen) -> str:
    """A channel stands where the handshake is established, and one that was refused is over."""
    return next((str(fact[1]) for fact in seen.facts if fact[0] == "misplaced"), "")


OF_A_STATE: Final = (
    *personal.OF_A_STATE,
    s13_nobody_is_talked_down,
    s10_two_ends_have_a_channel_and_no_third,
    s10_whom_an_end_met_was_there,
    a_handshake_is_where_it_says,
)
