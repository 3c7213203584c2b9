"""Channels in symbols: what EDHOC and the records achieve, without their arithmetic.

This is the one place where the check abstracts from what runs in production; edhoc.py has worlds in which the
handshake is the product's. That handshake and records do achieve it is shown elsewhere: by the models in ProVerif, by
the vectors of RFC 9529, by the tests of channel/. What is assumed is, and nothing more:

- a credential is accepted only from whoever holds the key in it, which the frame says and nobody can falsify;
- both ends of a channel have the same transcript, hence the same exporter value, and no other channel has it;
- what is sealed opens at the other end of this channel only, once and in order; the first that does not ends it.

Which method, option and purpose are admitted, who is judged by what, and what has to be proved besides, is decided by
the product's own terms (channel/trust), which run here as they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import Any, Final, Self

from ..protocol.channel.edhoc import SUITES, Facts, IdCred, Method, Side, X5Chain
from ..protocol.channel.edhoc.ead import Ead
from ..protocol.channel.handshake import C_I, C_R, Handshake, admission, intended, intent_of
from ..protocol.channel.opened import ChannelOpened, Peer
from ..protocol.channel.records import Records
from ..protocol.channel.trust import ProofStage, Terms
from ..protocol.engine import Close, Effect, Fault, InsituError, ProtocolError, PublicKey, Send
from ..protocol.messages import Message, Purpose, decode_message
from ..protocol.session import Session
from .values import canonical, digest

_SUITE: Final = SUITES[3]


class Frame(bytes):
    """A frame that says what is in it; as bytes, the digest of that."""

    content: tuple[Any, ...]

    def __new__(cls, *content: object) -> Self:
        """Make the frame with this content."""
        made = super().__new__(cls, digest(*content))
        made.content = content
        return made

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return str(self.content[0])


def content_of(frame: bytes) -> tuple[Any, ...]:
    """What is in a frame.

    Raises:
        ProtocolError: nothing that belongs to a channel.

    """
    if isinstance(frame, Frame):
        return frame.content
    raise ProtocolError("frame", who="channel", expected="one of a channel", got="others", fault=Fault.MALFORMED)


# Handshake ---------------------------------------------------------------------------------------------------


class CheckedHandshake(Handshake, ABC):
    """One side of a handshake that can be gone on with from the same place more than once.

    Args:
        terms: what is pinned.
        name: of this end, unlike that of any other.
        purpose: of the initiator.
        purposes: that the responder admits; None: this is the initiator.

    """

    def __init__(
        self,
        terms: Terms,
        name: str,
        *,
        purpose: Purpose = Purpose.PERSONALIZE,
        purposes: Collection[Purpose] | None = None,
    ) -> None:
        self.terms = terms
        self.name = name
        self.purpose = purpose
        self.purposes = purposes
        self.initiator = purposes is None
        self.opened: ChannelOpened | None = None
        self.error: InsituError = ProtocolError("the handshake has not ended", who="channel")
        self._facts: Facts | None = None

    def fork(self) -> Self:
        """The same once more, from here."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    @property
    def facts(self) -> Facts:
        """See Handshake."""
        if self._facts is None:
            raise self.error
        return self._facts

    def stage(self) -> ProofStage | None:
        """See Handshake."""
        return None if self.opened is None else self.terms.stage(self.opened)

    @property
    @abstractmethod
    def identity(self) -> Hashable:
        """What makes it the same as another."""

    @abstractmethod
    def expects(self, frame: bytes) -> bool:
        """Whether it is the message that comes next, made for this handshake."""


class SymbolicHandshake(CheckedHandshake):
    """One side of a handshake; four frames, as EDHOC has them. Its arguments are those of CheckedHandshake."""

    _stage = "ready"
    _transcript = b""
    _items: tuple[Ead, ...] = ()
    _met: Peer | None = None

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        return self.name, self._stage, self._transcript, canonical(self._met), canonical(self.opened)

    @property
    def channel(self) -> bytes:
        """What names the channel, at both ends of it and of no other."""
        return self._transcript

    def records(self) -> Records:
        """See Handshake."""
        return SymbolicRecords(self.channel, initiator=self.initiator)

    def start(self, at: int) -> list[Effect]:
        """See Handshake."""
        if not self.initiator:
            return []
        self._items = (intended(self.terms, self.purpose),)
        return self._sent("offered", "message 1", self.name, int(self.terms.method), self._items)

    def answer(self, event: object, at: int) -> list[Effect]:
        """Nothing is asked of key memory here."""
        raise ProtocolError("the handshake asked for nothing", who="channel", got=type(event).__name__)

    def farewell(self, fault: Fault) -> list[bytes]:
        """See Handshake."""
        before, self._stage = self._stage, "failed"
        return [] if before in ("ready", "failed") else [Frame("error", fault)]

    def receive(self, frame: bytes, at: int) -> list[Effect]:
        """See Handshake."""
        try:
            match self._stage, content_of(frame):
                case _, ("error", fault):
                    return self._failed(ProtocolError("the other side refused", who="channel", fault=fault), tell=False)
                case "ready", ("message 1", _, int(method), items) if not self.initiator:
                    return self._respond(frame, method, items)
                case "offered", ("message 2", bytes(seen), _, claim, prover) if seen == self._transcript:
                    self._meet(frame, claim, prover, at)
                    own = self.terms.own.id_cred, self.terms.key.public
                    return self._sent("committed", "message 3", self._transcript, *own)
                case "answered", ("message 3", bytes(seen), claim, prover) if seen == self._transcript:
                    self._meet(frame, claim, prover, at)
                    sent = self._sent("open", "message 4", self._transcript)
                    self._open(at)
                    return sent
                case "committed", ("message 4", bytes(seen)) if seen == self._transcript:
                    self._transcript = digest(frame)
                    self._open(at)
                    return []
        except ProtocolError as error:
            return self._failed(error, tell=True)
        refused = ProtocolError("handshake", who="channel", expected=self._stage, got="another", fault=Fault.MALFORMED)
        return self._failed(refused, tell=True)

    def expects(self, frame: bytes) -> bool:
        """Whether it is the message that comes next, made for this handshake."""
        awaited = {"offered": "message 2", "answered": "message 3", "committed": "message 4"}.get(self._stage)
        return isinstance(frame, Frame) and frame.content[:2] == (awaited, self._transcript)

    def _respond(self, frame: bytes, method: int, items: tuple[Ead, ...]) -> list[Effect]:
        if method != self.terms.method:
            raise ProtocolError("method", who="channel", expected=self.terms.method, got=method)
        admission(self.terms, self.purposes or ())(items)
        self._items = items
        own = self.name, self.terms.own.id_cred, self.terms.key.public
        return self._sent("answered", "message 2", digest(frame), *own)

    def _meet(self, frame: bytes, claim: IdCred, prover: PublicKey, at: int) -> None:
        """Judge a credential; that its key made the frame is what EDHOC proves."""
        credential, self._met = self.terms.judge(claim, at)
        if credential.public != prover:
            raise ProtocolError("proof of possession", who="channel", expected="by the credential's key", got="another")
        side = Side.INITIATOR if self.initiator else Side.RESPONDER
        agreed = Method(self.terms.method), _SUITE, C_I, C_R
        self._transcript = digest(frame)
        eads = self._items, (), (), ()
        self._facts = Facts(side, *agreed, self.terms.own, credential, claim, *eads, self._transcript)

    def _open(self, at: int) -> None:
        own, intent = self.terms.own.id_cred, intent_of(self._items)
        self._stage = "open"
        if self._met is not None:
            self.opened = ChannelOpened(
                peer=self._met,
                intent=intent,
                binding=digest("binding", self.channel),
                at=at,
                wrapping=digest("wrapping", self.channel) if intent.purpose is Purpose.OPERATE else b"",
                presented=own.certificates if isinstance(own, X5Chain) else (),
            )

    def _sent(self, stage: str, *content: object) -> list[Effect]:
        frame = Frame(*content)
        self._stage, self._transcript = stage, digest(frame)
        return [Send(frame)]

    def _failed(self, error: ProtocolError, *, tell: bool) -> list[Effect]:
        self._stage, self.error = "failed", error
        return [*([Send(Frame("error", error.fault))] if tell else []), Close()]


# Records -----------------------------------------------------------------------------------------------------


class SymbolicRecords(Records):
    """Both directions of a channel, seen from one side."""

    def __init__(self, channel: bytes, *, initiator: bool, sent: int = 0, received: int = 0) -> None:
        self.channel = channel
        self.initiator = initiator
        self.sent = sent
        self.received = received
        self._broken = False

    def fork(self) -> SymbolicRecords:
        """The same once more, from here."""
        other = SymbolicRecords(self.channel, initiator=self.initiator, sent=self.sent, received=self.received)
        vars(other).update(vars(self))
        return other

    @property
    def identity(self) -> Hashable:
        """What makes them the same as others."""
        return self.channel, self.initiator, self.sent, self.received, self._broken

    def rest(self) -> None:
        """Nothing to let go of."""

    def seal(self, payload: bytes) -> list[bytes]:
        """See Records."""
        self.sent += 1
        return [Frame("record", self.channel, self.initiator, self.sent, payload)]

    def expects(self, record: bytes) -> bool:
        """Whether it is the one that opens next."""
        expected = "record", self.channel, not self.initiator, self.received + 1
        return not self._broken and isinstance(record, Frame) and record.content[:4] == expected

    def open(self, record: bytes) -> bytes | None:
        """See Records."""
        if not self.expects(record) or not isinstance(record, Frame):
            self._broken = True
            raise ProtocolError("record refused", who="channel", fault=Fault.MALFORMED)
        self.received += 1
        payload: bytes = record.content[4]
        return payload


def messages_in(frames: Iterable[bytes]) -> Iterator[Message]:
    """What is in the records among these."""
    for frame in frames:
        if isinstance(frame, Frame) and frame.kind == "record":
            yield decode_message(frame.content[4])


# Sessions ----------------------------------------------------------------------------------------------------


class CheckedSession(Session[Any, Any]):
    """A session of the product that can be gone on with from the same place more than once."""

    company: Any = None
    """What the session has of its own besides, at a unit in the network."""

    def fork(self) -> CheckedSession:
        """The same once more, from here."""
        other = object.__new__(type(self))
        for name in Session.__slots__:
            setattr(other, name, getattr(self, name))
        other.company = self.company
        other.renew()
        return other

    def renew(self) -> None:
        """Have own copies of the parts that change."""
        if isinstance(self._handshake, CheckedHandshake):
            self._handshake = self._handshake.fork()
        if isinstance(self._records, SymbolicRecords):
            self._records = self._records.fork()
        if self._stage is not None:
            self._stage = self._stage.fork()

    @property
    def handshake(self) -> CheckedHandshake:
        """Of this side."""
        assert isinstance(self._handshake, CheckedHandshake)  # noqa: S101 - nothing else is put in
        return self._handshake

    def shake(self, handshake: CheckedHandshake) -> None:
        """Have another one, before it began."""
        self._handshake = handshake

    @property
    def records(self) -> SymbolicRecords | None:
        """The channel, once it stands."""
        assert self._records is None or isinstance(self._records, SymbolicRecords)  # noqa: S101
        return self._records

    def expects(self, frame: bytes) -> bool:
        """Whether it is the record that opens next, or the message of the handshake that comes next."""
        return self.handshake.expects(frame) if self.records is None else self.records.expects(frame)

    @property
    def proving(self) -> str:
        """State of the stage of proof; empty where there is none, or none any more."""
        return "" if self._stage is None else self._stage.state.name

    @property
    def proof(self) -> Any:  # noqa: ANN401 - of whichever stage
        """Data of the stage of proof; None where there is none, or none any more."""
        return None if self._stage is None else self._stage.data

    @property
    def proof_name(self) -> str:
        """Of the stage of proof; empty where there is none, or none any more."""
        return "" if self._stage is None else self._stage.name

    @property
    def accepted_by_party(self) -> tuple[type, ...]:
        """The events that have a row where the party is, whatever there may be to prove before."""
        return self._table.accepts(self.state)

    @property
    def accepted(self) -> tuple[type, ...]:
        """The events that have a row where the session is."""
        if self._stage is not None:
            return self._stage.accepts
        return self._table.accepts(self.state)

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        stage = None if self._stage is None else (self._stage.name, self._stage.state, canonical(self._stage.data))
        records = None if self.records is None else self.records.identity
        shaken = None if self._records is not None and self._stage is None else self.handshake.identity
        about = self.party, self.state, canonical(self.data), self.closed, canonical(self.error)
        return *about, stage, records, shaken, self.company and self.company.identity
