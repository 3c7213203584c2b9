"""One side's handshake as a session runs it: EDHOC's table, what was pinned, and the judgement of a trust option.

The states and transitions are EDHOC's (edhoc/initiator.py, edhoc/responder.py). Here frames become their events, the
look-up of a credential is answered from the terms, and the end is either a ChannelOpened or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from ..engine import (
    Effect,
    Fault,
    InsituError,
    LookUp,
    ProtocolError,
    Send,
    Started,
)
from ..messages import VERSION, Intent, Purpose, decode_intent, encode_intent
from .edhoc import (
    CredentialFound,
    CredentialQuery,
    CredentialUnknown,
    Ead,
    Established,
    Facts,
    Failed,
    HandshakeFailed,
    InitiatorConfig,
    InitiatorState,
    Method,
    ResponderConfig,
    ResponderState,
    Stage,
    advance,
    begin_initiator,
    begin_responder,
    classify,
)
from .edhoc.credentials import X5Chain
from .opened import ChannelOpened, Peer
from .records import BINDING, WRAPPING, Records
from .trust import SUITES, ProofStage, Terms

INTENT_LABEL: Final = 0xFF01
"""EAD label of the Intent, critical; for private use (RFC 9528 section 10.5)."""
C_I: Final = b"\x00"
C_R: Final = b"\x01"
"""Connection identifiers; a stream carries one session, so they tell nothing."""
BINDING_BYTES: Final = 32
WRAPPING_BYTES: Final = 32


class Handshake:
    """One side of one handshake.

    Attributes:
        initiator: whether this side begins.
        opened: once the channel stands: who is there and for what; None before.
        error: once it failed: why.

    """

    def __init__(self, terms: Terms, state: InitiatorState | ResponderState, data: Stage) -> None:
        self._terms = terms
        self._state = state
        self._data = data
        self._peer: Peer | None = None
        self.initiator = isinstance(state, InitiatorState)
        self.opened: ChannelOpened | None = None
        self.error: InsituError = ProtocolError("the handshake has not ended", who="channel")

    @classmethod
    def initiate(cls, terms: Terms, purpose: Purpose, entropy: bytes) -> Handshake:
        """The module's side.

        Args:
            terms: what is pinned.
            purpose: what the channel is for.
            entropy: 64 fresh random bytes, for this handshake only.

        """
        config = InitiatorConfig(
            method=Method(terms.method),
            suites=SUITES,
            credential=terms.own,
            key=terms.key,
            c_i=C_I,
            ead_1=(intended(terms, purpose),),
        )
        return cls(terms, InitiatorState.READY, begin_initiator(config, entropy))

    @classmethod
    def respond(cls, terms: Terms, purposes: Collection[Purpose], entropy: bytes) -> Handshake:
        """The unit's or the central system's side.

        Args:
            terms: what is pinned.
            purposes: what the module may ask for.
            entropy: 64 fresh random bytes, for this handshake only.

        """
        config = ResponderConfig(
            methods=frozenset({Method(terms.method)}),
            suites=SUITES,
            credential=terms.own,
            key=terms.key,
            c_r=C_R,
            ead_labels=frozenset({INTENT_LABEL}),
            admits_ead_1=admission(terms, purposes),
        )
        return cls(terms, ResponderState.LISTENING, begin_responder(config, entropy))

    @property
    def established(self) -> Established:
        """The session of EDHOC, once `opened`.

        Raises:
            ProtocolError: why it did not come to that.

        """
        if not isinstance(self._data, Established):
            raise self.error
        return self._data

    def stage(self) -> ProofStage | None:
        """What the trust option has still to prove in the channel, once `opened`; None: nothing."""
        return None if self.opened is None else self._terms.stage(self.opened)

    @property
    def facts(self) -> Facts:
        """What both sides agree on, once `opened`.

        Raises:
            ProtocolError: why it did not come to that.

        """
        return self.established.facts

    def records(self) -> Records:
        """The channel, once `opened`; what else the handshake knew is let go of, and `established` is no more.

        Raises:
            ProtocolError: why it did not come to that.

        """
        self._data = keys = self.established.keys
        return Records(keys, initiator=self.initiator)

    def start(self, at: int) -> list[Effect]:
        """The link is up; the initiator speaks."""
        return self._feed(Started(), at) if self.initiator else []

    def receive(self, frame: bytes, at: int) -> list[Effect]:
        """A frame arrived."""
        return self._feed(classify(self._state, frame), at)

    def answer(self, event: object, at: int) -> list[Effect]:
        """Key memory answered."""
        return self._feed(event, at)

    def farewell(self, fault: Fault) -> list[bytes]:
        """End it from this side: the frames that tell the other one, with one code."""
        error = ProtocolError("ended", who="channel", fault=fault)
        try:
            step = advance(self._state, self._data, HandshakeFailed(error))
        except InsituError:
            return []
        self._state, self._data = step.state, step.data
        frames = [effect.message for effect in step.effects if isinstance(effect, Send)]
        return [frame for frame in frames if isinstance(frame, bytes)]

    def _feed(self, event: object, at: int) -> list[Effect]:
        out: list[Effect] = []
        step = advance(self._state, self._data, event)
        self._state, self._data = step.state, step.data
        for effect in step.effects:
            if isinstance(effect, LookUp):
                out += self._feed(self._judge(effect.argument, at), at)
                continue
            out.append(effect)
        if isinstance(self._data, Failed):
            self.error = self._data.error
        if isinstance(self._data, Established) and self.opened is None and self._peer is not None:
            intent, exporter = intent_of(self._data.facts.ead_1), self._data.exporter
            own = self._terms.own.id_cred
            self.opened = ChannelOpened(
                peer=self._peer,
                intent=intent,
                binding=exporter(BINDING, b"", BINDING_BYTES),
                at=at,
                wrapping=exporter(WRAPPING, b"", WRAPPING_BYTES) if intent.purpose is Purpose.OPERATE else b"",
                presented=own.certificates if isinstance(own, X5Chain) else (),
            )
        return out

    def _judge(self, query: object, at: int) -> CredentialFound | CredentialUnknown | HandshakeFailed:
        if not isinstance(query, CredentialQuery):
            raise TypeError("EDHOC looks up credentials only")
        try:
            credential, self._peer = self._terms.judge(query.id_cred, at)
        except ProtocolError as error:
            return HandshakeFailed(error)
        return CredentialFound(credential)


def intended(terms: Terms, purpose: Purpose) -> Ead:
    """What the initiator says in EAD_1, which the transcript binds (S13): version, purpose and trust option."""
    intent = encode_intent(Intent(version=VERSION, purpose=purpose, option=terms.option))
    return Ead(INTENT_LABEL, intent, critical=True)


def admission(terms: Terms, purposes: Collection[Purpose]) -> Callable[[tuple[Ead, ...]], None]:
    """The responder's judgement of that: a ProtocolError for another trust option than its own, or another purpose."""

    def admit(items: tuple[Ead, ...]) -> None:
        intent = intent_of(items)
        if intent.option is not terms.option or intent.purpose not in purposes:
            wanted = " or ".join(purpose.name.lower() for purpose in purposes)
            raise ProtocolError(
                "what the module asks for",
                who="channel",
                expected=f"{wanted} under {terms.option.text}",
                got=f"{intent.purpose.name.lower()} under {intent.option.text}",
                fault=Fault.UNSUPPORTED,
            )

    return admit


def intent_of(items: tuple[Ead, ...]) -> Intent:
    """The Intent in EAD_1.

    Raises:
        ProtocolError: there is none, or something else.

    """
    match items:
        case (Ead(label=label, value=bytes(value), critical=True),) if label == INTENT_LABEL:
            return decode_intent(value)
    raise ProtocolError("EAD_1", who="channel", expected="one Intent", got=f"{len(items)} items", fault=Fault.MALFORMED)
