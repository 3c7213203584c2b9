"""Two ends of an EDHOC handshake in one process, for tests: keys that lie open, and a runner that answers effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519

from insitu.protocol.channel.cose import KEY_KINDS
from insitu.protocol.channel.edhoc import (
    SUITES,
    Credential,
    CredentialFound,
    CredentialQuery,
    Ead,
    Failed,
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
    write_ccs,
)
from insitu.protocol.channel.edhoc.curves import EphemeralKey, load_x
from insitu.protocol.channel.edhoc.initiator import AwaitingMessage2
from insitu.protocol.channel.edhoc.schedule import extract_2e, hash_2, keystream, xor
from insitu.protocol.engine import (
    Agree,
    Agreed,
    Close,
    Effect,
    KeyHandle,
    KeyKind,
    LookUp,
    PublicKey,
    Send,
    Sign,
    Signed,
    Started,
)
from insitu.protocol.keys.public import CURVES, ECDSA, load_public, public_of, raw_signature
from insitu.protocol.messages.codec import encode

VECTORS = Path(__file__).resolve().parents[2] / "specs" / "vectors"


def vectors(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


class Key:
    """A long-term key pair whose private half lies open; the same seed gives the same pair."""

    def __init__(self, kind: KeyKind, seed: bytes | str, *, exact: bool = False) -> None:
        self.kind = kind
        octets = seed if isinstance(seed, bytes) else hashlib.sha512(seed.encode()).digest()
        if kind is KeyKind.ED25519:
            self._private: Any = ed25519.Ed25519PrivateKey.from_private_bytes(octets[:32])
        elif kind is KeyKind.X25519:
            self._private = x25519.X25519PrivateKey.from_private_bytes(octets[:32])
        else:
            number = int.from_bytes(octets, "big")
            order = CURVES[kind].group_order
            self._private = ec.derive_private_key(number if exact else number % (order - 1) + 1, CURVES[kind])
        self.public: PublicKey = public_of(self._private.public_key())
        self.handle = KeyHandle("test", self.public)

    def sign(self, message: bytes) -> bytes:
        if self.kind is KeyKind.ED25519:
            return self._private.sign(message)
        return raw_signature(self.kind, self._private.sign(message, ECDSA[self.kind]))

    def agree(self, peer: PublicKey) -> bytes:
        if self.kind is KeyKind.X25519:
            return self._private.exchange(load_public(peer))
        return self._private.exchange(ec.ECDH(), load_public(peer))


@dataclass
class End:
    """One side: feed it events or frames, take frames from it."""

    state: InitiatorState | ResponderState
    data: Stage
    key: Key
    find: Callable[[CredentialQuery], object]
    sent: list[bytes] = field(default_factory=list)
    closed: Close | None = None
    queries: list[CredentialQuery] = field(default_factory=list)
    events: list[object] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)

    def feed(self, event: object) -> list[bytes]:
        """The frames that the event and the answers to its effects bring about."""
        out: list[bytes] = []
        pending = [event]
        while pending:
            now = pending.pop(0)
            step = advance(self.state, self.data, now)
            self.events.append(now)
            self.state, self.data = step.state, step.data
            self.stages.append(step.data)
            self.effects += step.effects
            for effect in step.effects:
                match effect:
                    case Send(message=bytes(frame)):
                        out.append(frame)
                    case Sign(message=message):
                        pending.append(Signed(self.key.sign(message)))
                    case Agree(peer=peer):
                        pending.append(Agreed(self.key.agree(peer)))
                    case LookUp(argument=CredentialQuery() as query):
                        self.queries.append(query)
                        pending.append(self.find(query))
                    case Close():
                        self.closed = effect
        self.sent += out
        return out

    def receive(self, frame: bytes) -> list[bytes]:
        return self.feed(classify(self.state, frame))

    @property
    def established(self) -> bool:
        return self.state.name == "ESTABLISHED"

    @property
    def failed(self) -> bool:
        return self.state.name == "FAILED"

    @property
    def error(self) -> Any:
        assert isinstance(self.data, Failed)
        return self.data.error


def run(initiator: End, responder: End, *, tamper: Callable[[int, bytes], bytes] | None = None) -> list[bytes]:
    """Both ends until nobody has anything to say: all frames in order. `tamper(number, frame)` may change them."""
    seen: list[bytes] = []
    to_responder, to_initiator = initiator.feed(Started()), list[bytes]()
    while to_responder or to_initiator:
        ends = (responder, to_responder, to_initiator) if to_responder else (initiator, to_initiator, to_responder)
        end, inbox, outbox = ends
        frame = inbox.pop(0)
        if tamper is not None:
            frame = tamper(len(seen), frame)
        seen.append(frame)
        if end.state.name not in ("ESTABLISHED", "FAILED"):
            outbox += end.receive(frame)
    return seen


KINDS = ("x5chain", "x5t", "kid", "kccs")


def credential(kind: str, key: Key, name: str) -> Credential:
    """A credential around `key`; the certificates in it are none, which EDHOC does not look at."""
    ccs = write_ccs(key.public, subject=name, kid=b"\x2b")
    certificate = hashlib.sha256(name.encode()).digest() + key.public.data
    match kind:
        case "x5chain":
            return Credential.x5chain((certificate, b"issuer of " + name.encode()), key.public)
        case "x5t":
            return Credential.x5t(certificate, key.public)
        case "kid":
            return Credential.kid(ccs, b"\x2b" if name == "initiator" else b"key of " + name.encode())
        case _:
            return Credential.kccs(ccs)


@dataclass
class Setting:
    """What two ends have in common, from which both are made."""

    method: Method = Method.SIGNATURES
    suite: int = 3
    initiator_kind: str = "x5chain"
    responder_kind: str = "x5chain"
    seed: str = "seed"

    def __post_init__(self) -> None:
        suite = SUITES[self.suite]
        signature, exchange = KEY_KINDS[suite.signature], suite.exchange
        self.initiator_key = Key(signature if self.method.initiator_signs else exchange, "initiator" + self.seed)
        self.responder_key = Key(signature if self.method.responder_signs else exchange, "responder" + self.seed)
        self.initiator_credential = credential(self.initiator_kind, self.initiator_key, "initiator")
        self.responder_credential = credential(self.responder_kind, self.responder_key, "responder")
        self.initiator_config = InitiatorConfig(
            method=self.method,
            suites=(self.suite,),
            credential=self.initiator_credential,
            key=self.initiator_key.handle,
            c_i=b"\x0e",
        )
        self.responder_config = ResponderConfig(
            methods=frozenset({self.method}),
            suites=(self.suite,),
            credential=self.responder_credential,
            key=self.responder_key.handle,
            c_r=b"\x18",
        )

    def initiator(self, entropy: str = "entropy of the initiator", **changes: Any) -> End:
        config = replace(self.initiator_config, **changes)
        data = begin_initiator(config, hashlib.sha512(entropy.encode()).digest())
        found = CredentialFound(self.responder_credential)
        return End(InitiatorState.READY, data, self.initiator_key, lambda _: found)

    def responder(self, entropy: str = "entropy of the responder", **changes: Any) -> End:
        config = replace(self.responder_config, **changes)
        data = begin_responder(config, hashlib.sha512(entropy.encode()).digest())
        found = CredentialFound(self.initiator_credential)
        return End(ResponderState.LISTENING, data, self.responder_key, lambda _: found)


def ead(label: int, value: bytes | None = None, *, critical: bool = False) -> Ead:
    return Ead(label, value, critical=critical)


def forge_message_2(initiator: End, plaintext_2: bytes, scalar: bytes = b"\x07" * 32) -> bytes:
    """A message_2 with any plaintext, which anybody can make who got message_1."""
    (awaiting,) = (stage for stage in initiator.stages if isinstance(stage, AwaitingMessage2))
    suite = awaiting.suite
    key = EphemeralKey.from_private(suite.exchange, scalar)
    th_2 = hash_2(suite, key.x, awaiting.message_1)
    prk_2e = extract_2e(suite, th_2, key.agree(load_x(suite.exchange, awaiting.ephemeral.x)))
    return encode(key.x + xor(plaintext_2, keystream(suite, prk_2e, th_2, len(plaintext_2))))
