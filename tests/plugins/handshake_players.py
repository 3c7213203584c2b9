"""Both sides of the handshake in a real session, for `black_box` to learn: frames go in, frames come out.

The peer is the product's own other side with real keys, so that what it says next belongs to what it heard; and one
that shows the same credential and has another key. What a frame is taken for depends on the state (edhoc/frames.py),
and is said with each letter; so is which action finds that it is wrong. Everything else is the table's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aalpy import MealyMachine, MealyState
from black_box import ANSWERS, CLOSED, NOTHING
from intruder import Intruder
from pump import Side as LineSide
from recorder import Recorder
from wire_players import STREAM
from world import SERIAL, World, shipped_key

from insitu.protocol.channel.edhoc.initiator import INITIATOR
from insitu.protocol.channel.edhoc.messages import ErrorCode, ErrorMessage, read_error
from insitu.protocol.channel.edhoc.responder import RESPONDER
from insitu.protocol.channel.trust import SHIPPED, ByShippedKey, ModuleByIdentity, UnitByCertificate
from insitu.protocol.engine import Close, KeyKind, LookUp, Send, Table
from insitu.protocol.messages import CardRole, Purpose, TrustOption
from insitu.protocol.session import HANDSHAKE_TIMER

MESSAGE: Final = "message"
ERROR: Final = "error"
OPEN: Final = "open"
ASKED: Final = {**ANSWERS, "Agree": "Agreed", "LookUp credential": "CredentialFound"}
FAILED: Final = "HandshakeFailed"


def named(frame: bytes) -> str:
    """What a frame of the handshake is."""
    return MESSAGE if read_error(frame) is None else ERROR


@dataclass(frozen=True)
class Frame:
    """A letter: a frame that arrives, or what else ends a handshake.

    Attributes:
        name: what the learner knows it by.
        taken: the name of the event that it is, by state; FAILED in all others.
        wrong: the actions that find it wrong.
        holds: the guards that hold.
        limited: guards that hold so many times in a handshake, and not again.
        frame: makes it, as the peer would now; None where there is none, and nothing happens then.
        do: what happens instead.
        silent: nobody is told.

    """

    name: str
    taken: Mapping[str, str] = field(default_factory=dict)
    wrong: frozenset[str] = frozenset()
    holds: frozenset[str] = frozenset()
    limited: Mapping[str, int] = field(default_factory=dict)
    frame: Callable[[Shaking], bytes | None] = lambda _: None
    do: Callable[[Shaking], None] | None = None
    silent: bool = False


class Shaking:
    """One side in a handshake, once, and its peers.

    Attributes:
        table: of the side.
        option: whose credentials are proved.
        letters: its alphabet.
        asks: the guard that tells how it proves itself.
        led: words through which it is led, so that what its actions do is recorded.

    """

    table: Table[Any, Any]
    option: TrustOption
    letters: tuple[Frame, ...]
    asks: frozenset[str]
    led: tuple[tuple[str, ...], ...] = (("no message",), ("an error",))

    def __init__(self) -> None:
        self.world = World()
        self.world.equip(self.option)
        self.victim = self.side()
        self.victim.line = self  # type: ignore[assignment]
        self.said: list[str] = []
        self.peers: list[Intruder] = []
        self._begin()

    def side(self) -> LineSide:
        """The side that is learned."""
        raise NotImplementedError

    def peer(self, *, other_key: bool) -> Intruder:
        """Its peer, or one with the same credential and another key."""
        raise NotImplementedError

    def _begin(self) -> None:
        self.peers = [self.peer(other_key=each) for each in (False, True)]
        self.victim.take(self.victim.session.start(self.victim.now()))

    def carry(self, _: object, frame: bytes) -> None:
        """The side sends."""
        self.said.append(named(frame))
        for peer in self.peers:
            peer.receive(frame)

    def take(self, frame: bytes) -> None:
        """A frame arrives."""
        self.victim.take(self.victim.session.receive(frame, self.victim.now()))

    @property
    def is_over(self) -> bool:
        """Nothing of a handshake can happen any more."""
        return self.victim.session.is_open or self.victim.session.closed

    def hear(self, letter: Frame) -> str:
        """Let it happen; what came back."""
        if self.is_over:
            return NOTHING
        self.said = []
        if letter.do is not None:
            letter.do(self)
        elif (frame := letter.frame(self)) is not None:
            self.take(frame)
        session = self.victim.session
        if session.is_open:  # message_4 is the last frame of the handshake; what follows are records
            del self.said[1 if self.table is RESPONDER else 0 :]
        ended = [OPEN] if session.is_open and not session.closed else [CLOSED] if session.closed else []
        return ", ".join([*self.said, *ended]) or NOTHING

    def leave(self) -> None:
        """It is done with."""
        self.victim.take(self.victim.session.lost("cut"))
        self.victim.finish()

    def next(self, place: int = 0) -> bytes | None:
        """What a peer says next."""
        frames = self.peers[place].frames
        return frames[0] if frames else None


def cut(me: Shaking) -> None:
    """The link is lost."""
    me.victim.take(me.victim.session.lost("cut"))


def silence(me: Shaking) -> None:
    """The time for the handshake passes."""
    me.victim.take(me.victim.session.expire(HANDSHAKE_TIMER, me.victim.now()))


def altered(frame: bytes | None) -> bytes | None:
    """The same with its last bit changed."""
    return None if frame is None else frame[:-1] + bytes((frame[-1] ^ 1,))


def _shared_terms(world: World, name: str, maker: Callable[..., Any], *serial: str) -> tuple[Any, Any]:
    vault: Any = world.vault(name)
    secret = vault.find_secret(SHIPPED) or vault.storage.share(SHIPPED, shipped_key(SERIAL))
    key = vault.generate(f"session {len(vault.labels())}", KeyKind.P256, b"")
    return maker(*serial[:1], key, secret, *serial[1:]), vault


class Impostor(Intruder):
    """A peer that shows a credential and has another key than the one in it."""

    def __init__(self, terms: Any, vault: Any, purpose: Purpose | None = None) -> None:
        self._other = vault.generate(f"another {len(vault.labels())}", KeyKind.P256, b"")
        super().__init__(terms, vault, purpose)

    def _take(self, effects: list[Any]) -> None:
        super()._take([replace(each, key=self._other) if hasattr(each, "key") else each for each in effects])


_NO_FRAME: Final = (
    Frame("no message", frame=lambda _: b"\xff\xff"),
    Frame("the link is lost", do=cut, silent=True),
    Frame("silence", do=silence),
)


def _error(states: tuple[str, ...]) -> Frame:
    frame = ErrorMessage(ErrorCode.UNSPECIFIED, text="over").encode()
    return Frame("an error", dict.fromkeys(states, "ErrorReceived"), frame=lambda _: frame)


_ASKED = frozenset({"signature_was_asked"})
_AGREED = frozenset({"agreement_was_asked"})


# The responder -----------------------------------------------------------------------------------------------


class UnitResponds(Shaking):
    """A unit, under certificates, by signatures."""

    table = RESPONDER
    option = TrustOption.CERTIFICATES
    shown = TrustOption.PHYSICAL

    def side(self) -> LineSide:
        """See Shaking."""
        self.world.approved(CardRole.MODULE, SERIAL)
        return LineSide("unit", self.world.new_unit().personalize(STREAM, SERIAL, self.option))

    def terms(self) -> tuple[Any, Any]:
        """Of the module, and where its keys are."""
        vault = self.world.vault(SERIAL)
        return ModuleByIdentity.of(self.world.module.record, vault.find("identity")), vault

    def peer(self, *, other_key: bool) -> Intruder:
        """See Shaking."""
        terms, vault = self.terms()
        return (Impostor if other_key else Intruder)(terms, vault, Purpose.PERSONALIZE)

    def first(self, **change: Any) -> bytes:
        """A message_1, of this peer or one that pins something else."""
        if not change:
            frame = self.next()
            return self.peers[0].frames[0] if frame is None else frame
        terms, vault = self.terms()
        return Intruder(replace(terms, **change), vault, Purpose.PERSONALIZE).frames[0]

    def say(self, place: int = 0) -> bytes | None:
        """message_3, once the peer has heard message_2."""
        frames = self.peers[place].frames
        return frames[1] if len(frames) > 1 else None

    letters = (
        Frame(
            "message 1",
            {"LISTENING": "Message1Received"},
            holds=frozenset({"suite_is_agreed"}),
            frame=lambda me: me.first(),
        ),  # type: ignore[attr-defined]
        Frame(
            "message 1 under another option",
            {"LISTENING": "Message1Received"},
            frozenset({"read_message_1"}),
            frozenset({"suite_is_agreed"}),
            frame=lambda me: me.first(option=me.shown),  # type: ignore[attr-defined]
        ),
        Frame("message 3", {"ANSWERED": "Message3Received"}, frame=lambda me: me.say()),  # type: ignore[attr-defined]
        Frame(
            "message 3 altered",
            {"ANSWERED": "Message3Received"},
            frozenset({"read_message_3"}),
            frame=lambda me: altered(me.say()),
        ),  # type: ignore[attr-defined]
        Frame(
            "message 3 by another key",
            {"ANSWERED": "Message3Received"},
            frozenset({"verify_message_3"}),
            frame=lambda me: me.say(1),
        ),  # type: ignore[attr-defined]
        _error(("LISTENING", "ANSWERED")),
        *_NO_FRAME,
    )
    asks = _ASKED


class UnitRespondsByAgreement(UnitResponds):
    """A unit, under shipped key, by static keys."""

    option = TrustOption.SHIPPED_KEY
    asks = _AGREED

    def terms(self) -> tuple[Any, Any]:
        """See UnitResponds."""
        return _shared_terms(self.world, SERIAL, ByShippedKey.module, SERIAL)


# The initiator -----------------------------------------------------------------------------------------------


class ModuleInitiates(Shaking):
    """A module, under certificates, by signatures; it has said message_1."""

    table = INITIATOR
    option = TrustOption.CERTIFICATES

    def side(self) -> LineSide:
        """See Shaking."""
        return LineSide("module", self.world.module.meet_unit(STREAM, self.option))

    def terms(self) -> tuple[Any, Any]:
        """Of the unit, and where its keys are."""
        card = self.world.card
        return UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, SERIAL), card.keys

    def peer(self, *, other_key: bool) -> Intruder:
        """See Shaking."""
        terms, vault = self.terms()
        return (Impostor if other_key else Intruder)(terms, vault)

    letters = (
        Frame(
            "the next message",
            {"OFFERED": "Message2Received", "COMMITTED": "Message4Received"},
            frame=lambda me: me.next_of(0),
        ),  # type: ignore[attr-defined]
        Frame(
            "the next message altered",
            {"OFFERED": "Message2Received", "COMMITTED": "Message4Received"},
            frozenset({"read_message_2", "verify_message_4"}),
            frame=lambda me: altered(me.next_of(0)),  # type: ignore[attr-defined]
        ),
        Frame(
            "the first message again",
            {"OFFERED": "Message2Received", "COMMITTED": "Message4Received"},
            frozenset({"verify_message_4"}),
            frame=lambda me: me.peers[0].frames[0],
        ),
        Frame(
            "what another key says next",
            {"OFFERED": "Message2Received", "COMMITTED": "ErrorReceived"},  # it cannot go on behind its message_2
            frozenset({"verify_message_2"}),
            frame=lambda me: me.next_of(1),  # type: ignore[attr-defined]
        ),
        _error(("OFFERED", "COMMITTED")),
        *_NO_FRAME,
    )
    asks = _ASKED

    def next_of(self, place: int) -> bytes | None:
        """The last thing that a peer has to say."""
        frames = self.peers[place].frames
        return frames[-1] if frames else None


class ModuleInitiatesByAgreement(ModuleInitiates):
    """A module, under shipped key, by static keys."""

    option = TrustOption.SHIPPED_KEY
    asks = _AGREED

    def terms(self) -> tuple[Any, Any]:
        """See ModuleInitiates."""
        return _shared_terms(self.world, "peer", ByShippedKey.unit, "Bank", SERIAL)


SHAKERS: Final = (UnitResponds, UnitRespondsByAgreement, ModuleInitiates, ModuleInitiatesByAgreement)


# The promise -------------------------------------------------------------------------------------------------


class HandshakePromise:
    """What a table says that its side does in a handshake, as a Mealy machine.

    Args:
        player: names the table and its alphabet.
        recorder: of that table, with handshakes that came to an end and others that did not.

    """

    def __init__(self, player: type[Shaking], recorder: Recorder) -> None:
        self._player = player
        self._done: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        for moment in recorder.moments:
            self._note(moment.arrow.row.do, moment.step.effects)
        begin = self._begin(player.table.initial.name), 0
        states: dict[tuple[str, int], MealyState[str, str]] = {}
        waiting = [begin]
        while waiting:
            at = waiting.pop()
            if at not in states:
                states[at] = MealyState(f"{at[0]}, {at[1]} tries")
                waiting += [self._answer(at, letter)[0] for letter in player.letters]
        for at, state in states.items():
            for letter in player.letters:
                then, said = self._answer(at, letter)
                state.transitions[letter.name], state.output_fun[letter.name] = states[then], said
        self.machine: MealyMachine[str, str] = MealyMachine(states[begin], list(states.values()))

    def _note(self, do: Any, effects: Any) -> None:
        sends = tuple(named(each.message) for each in effects if isinstance(each, Send))
        asks = tuple(
            f"LookUp {each.what}" if isinstance(each, LookUp) else type(each).__name__
            for each in effects
            if not isinstance(each, (Send, Close))
        )
        if not {*asks} & ({"Agree"} if self._player.asks is _ASKED else {"Sign"}):  # the other way to prove
            self._keep(do.__name__, (sends, asks))

    def _keep(self, name: str, done: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        assert self._done.setdefault(name, done) == done, name

    def _begin(self, state: str) -> str:
        """The initiator has begun before anything is heard."""
        return self._follow((state, 0), ["Started"], Frame(""))[0][0] if state == "READY" else state

    def _answer(self, before: tuple[str, int], letter: Frame) -> tuple[tuple[str, int], str]:
        at, tries = before
        if at in ("ESTABLISHED", "FAILED"):
            return before, NOTHING
        if letter.silent:
            return ("FAILED", 0), CLOSED
        if letter.do is None and not self._is_said(at, letter):
            return before, NOTHING
        (then, tries), said = self._follow(before, [letter.taken.get(at, FAILED)], letter)
        ended = {"ESTABLISHED": (OPEN,), "FAILED": (CLOSED,)}.get(then, ())
        return (then, 0 if ended else tries), ", ".join((*said, *ended)) or NOTHING

    def _is_said(self, at: str, letter: Frame) -> bool:
        """Whether the peer can say it by then: message_3 has to wait for message_2."""
        return not (letter.name.startswith("message 3") and at == "LISTENING")

    def _follow(self, at: tuple[str, int], events: list[str], letter: Frame) -> tuple[tuple[str, int], tuple[str, ...]]:
        """Where it leads, with how often guards have held that hold so often only."""
        state, tries = at
        wrong, said = letter.wrong, ()
        while events:
            event = events.pop(0)
            left = {guard for guard, times in letter.limited.items() if tries < times}
            arrow = self._arrow(state, event, letter.holds | self._player.asks | left)
            if arrow is None or arrow.row.do.__name__ in wrong:
                events, wrong = [FAILED], frozenset()
                continue
            tries += arrow.row.when is not None and arrow.row.when.__name__ in left
            state = arrow.target.name
            sends, asks = self._done[arrow.row.do.__name__]
            said += sends
            events += [ASKED[ask] for ask in asks]
        return (state, tries), said

    def _arrow(self, state: str, event: str, holds: frozenset[str]) -> Any:
        for arrow in self._player.table.arrows:
            row = arrow.row
            fits = row.when is None or row.when.__name__ in holds
            if (arrow.source.name, row.on.__name__) == (state, event) and fits:
                return arrow
        return None
