"""The responder: checks message_1 and message_3, sends message_2 and message_4 (RFC 9528 section 5).

Its states, one stage a state, guards, actions, and LAST the table. Bytes become events in `frames`; long-term
keys are asked for by Sign and Agree, whom to trust by LookUp, so that no step waits for anything.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import ClassVar

from ...engine import (
    STAY,
    Agree,
    Agreed,
    ChannelLost,
    DeadlinePassed,
    Effects,
    Fault,
    KeyOperationFailed,
    LookUp,
    ProtocolError,
    Send,
    Sign,
    Signed,
    Table,
    row,
)
from ..cose import octets
from .config import Entropy, EphemeralSource, ResponderConfig
from .curves import EphemeralKey, as_public, load_static, load_x
from .ead import check_understood, encode_ead
from .established import Facts, Side, establish
from .events import (
    CREDENTIAL,
    CredentialFound,
    CredentialQuery,
    CredentialUnknown,
    ErrorReceived,
    HandshakeFailed,
    Message1Received,
    Message3Received,
)
from .identifiers import encode_identifier
from .messages import ErrorCode, ErrorMessage, Message1, Plaintext, read_plaintext_3
from .proofs import Claim, Statement, check_admitted, check_key, check_peer, own_proof, statement_2, statement_3
from .refusals import abort, disown, forget, give_up, stop
from .schedule import MESSAGE_3, MESSAGE_4, Label, extract_2e, hash_2, kdf, keystream, mix, next_hash, seal, unseal, xor
from .stages import WHO, Stage, stage
from .suites import SUITES, Method, Suite


class ResponderState(Enum):
    """States of the responder."""

    LISTENING = auto()
    """No message_1 was accepted."""
    APPROACHED = auto()
    """message_1 was accepted; this side's own proof is being made."""
    ANSWERED = auto()
    """message_2 was sent."""
    CLAIMED = auto()
    """message_3 was decrypted; whose credential it names is being looked up."""
    ESTABLISHED = auto()
    """The initiator has proved itself; message_4 was sent."""
    FAILED = auto()


# Stages


@stage
class Listening(Stage):
    """Of LISTENING. `refusals`: messages refused so far for their suite."""

    public: ClassVar[bool] = True

    config: ResponderConfig
    ephemerals: EphemeralSource
    refusals: int


@stage
class ReadMessage1(Stage):
    """Of APPROACHED. `statement`: what is being signed; None while a static secret is being agreed."""

    config: ResponderConfig
    message_1: Message1
    method: Method
    suite: Suite
    ephemeral: EphemeralKey
    th_2: bytes
    prk_2e: bytes
    claim: Claim
    statement: Statement | None


@stage
class AwaitingMessage3(Stage):
    """Of ANSWERED."""

    config: ResponderConfig
    message_1: Message1
    method: Method
    suite: Suite
    ephemeral: EphemeralKey
    th_3: bytes
    prk_3e2m: bytes


@stage
class ReadMessage3(Stage):
    """Of CLAIMED: message_3 decrypted, who sent it not proved."""

    awaiting: AwaitingMessage3
    plaintext_3: bytes
    content: Plaintext


def begin_responder(config: ResponderConfig, entropy: bytes) -> Stage:
    """The data of LISTENING for one session.

    Args:
        config: the responder's side.
        entropy: at least 64 bytes, fresh and secret, for this session only.

    Raises:
        UsageError: too little entropy.

    """
    return Listening(config, Entropy(entropy, Side.RESPONDER.value), 0)


# Guards


def suite_is_agreed(data: Stage, event: Message1Received) -> bool:
    """The suite selected is supported, and none that the initiator prefers to it (section 5.2.3)."""
    *preferred, selected = event.message.suites
    supported = data.config.suites if isinstance(data, Listening) else ()
    return selected in supported and not any(number in supported for number in preferred)


def another_try_is_left(data: Stage, _event: Message1Received) -> bool:
    """The initiator has not been refused as often as there are suites."""
    return isinstance(data, Listening) and data.refusals < len(data.config.suites)


def signature_was_asked(data: Stage, _event: Signed) -> bool:
    """The method has this side prove itself with a signature."""
    return isinstance(data, ReadMessage1) and data.statement is not None


def agreement_was_asked(data: Stage, _event: Agreed) -> bool:
    """The method has this side prove itself with a static key."""
    return isinstance(data, ReadMessage1) and data.statement is None


# Actions


def name_suites(data: Stage, _event: Message1Received) -> tuple[Stage, Effects]:
    """Refuse message_1 for its suite and say which ones would do (section 6.3)."""
    listening = data.take(Listening)
    message = ErrorMessage(ErrorCode.WRONG_SUITE, suites=listening.config.suites)
    again = Listening(listening.config, listening.ephemerals, listening.refusals + 1)
    return again, (Send(message.encode()),)


def refuse_suite(data: Stage, event: Message1Received) -> tuple[Stage, Effects]:
    """The initiator cannot be helped."""
    error = ProtocolError("cipher suite", who=WHO, got=event.message.suites, fault=Fault.UNSUPPORTED)
    return abort(data, HandshakeFailed(error))


def read_message_1(data: Stage, event: Message1Received) -> tuple[Stage, Effects]:
    """Mix the ephemeral keys and have this side's proof made (sections 5.2.3 and 5.3.2)."""
    listening = data.take(Listening)
    config, message_1 = listening.config, event.message
    if message_1.method not in config.methods:
        expected = " or ".join(str(int(method)) for method in sorted(config.methods))
        raise ProtocolError("method", who=WHO, expected=expected, got=message_1.method, fault=Fault.UNSUPPORTED)
    check_understood(message_1.ead, config.ead_labels)
    config.admits_ead_1(message_1.ead)
    method, suite = Method(message_1.method), SUITES[message_1.suites[-1]]
    g_x = load_x(suite.exchange, message_1.g_x)
    ephemeral = listening.ephemerals(suite.exchange, listening.refusals)
    if ephemeral.x == message_1.g_x:
        raise ProtocolError("G_X", who=WHO, expected="another side's key", got="this side's own")
    th_2 = hash_2(suite, ephemeral.x, message_1.encoded)
    prk_2e = extract_2e(suite, th_2, ephemeral.agree(g_x))
    claim = Claim(config.own.id_cred, config.own.cred, encode_ead(config.ead_2))
    proving: Sign | Agree
    if method.responder_signs:
        c_r = encode_identifier(config.c_r)
        statement = statement_2(suite, method, prk_2e, th_2, c_r, claim)  # PRK_3e2m = PRK_2e
        proving = Sign(config.key, statement.to_sign)
    else:
        statement = None
        proving = Agree(config.key, as_public(g_x))
    read = ReadMessage1(config, message_1, method, suite, ephemeral, th_2, prk_2e, claim, statement)
    return read, (proving,)


def send_signature(data: Stage, event: Signed) -> tuple[Stage, Effects]:
    """Send message_2 with this side's signature (section 5.3.2)."""
    read = data.take(ReadMessage1)
    return _send_message_2(read, read.prk_2e, own_proof(read.suite, event.signature, signs=True))


def send_mac(data: Stage, event: Agreed) -> tuple[Stage, Effects]:
    """Send message_2 with the MAC that this side's static key allows."""
    read = data.take(ReadMessage1)
    prk_3e2m = mix(
        read.suite, read.prk_2e, Label.SALT_3E2M, read.th_2, own_proof(read.suite, event.secret, signs=False)
    )
    c_r = encode_identifier(read.config.c_r)
    statement = statement_2(read.suite, read.method, prk_3e2m, read.th_2, c_r, read.claim)
    return _send_message_2(read, prk_3e2m, statement.mac)


def _send_message_2(read: ReadMessage1, prk_3e2m: bytes, proof: bytes) -> tuple[Stage, Effects]:
    config, suite, ephemeral = read.config, read.suite, read.ephemeral
    id_cred = config.own.compact
    plaintext_2 = encode_identifier(config.c_r) + id_cred + octets(proof) + read.claim.ead
    ciphertext_2 = xor(plaintext_2, keystream(suite, read.prk_2e, read.th_2, len(plaintext_2)))
    th_3 = next_hash(suite, read.th_2, plaintext_2, read.claim.cred)
    awaiting = AwaitingMessage3(config, read.message_1, read.method, suite, ephemeral, th_3, prk_3e2m)
    return awaiting, (Send(octets(ephemeral.x + ciphertext_2)),)


def read_message_3(data: Stage, event: Message3Received) -> tuple[Stage, Effects]:
    """Decrypt message_3 and ask for the credential that it names (section 5.4.3)."""
    awaiting = data.take(AwaitingMessage3)
    config, suite = awaiting.config, awaiting.suite
    plaintext_3 = unseal(suite, awaiting.prk_3e2m, MESSAGE_3, awaiting.th_3, event.content)
    content = read_plaintext_3(plaintext_3)
    check_admitted(content.id_cred, config.peer_kinds)
    check_understood(content.ead, config.ead_labels)
    query = CredentialQuery(content.id_cred, content.ead, awaiting.message_1.ead, awaiting.method, suite.number)
    return ReadMessage3(awaiting, plaintext_3, content), (LookUp(CREDENTIAL, query),)


def verify_message_3(data: Stage, event: CredentialFound) -> tuple[Stage, Effects]:
    """Check that the initiator holds the key of this credential; confirm with message_4 (section 5.5.2)."""
    read = data.take(ReadMessage3)
    awaiting, content, peer = read.awaiting, read.content, event.credential
    config, method, suite = awaiting.config, awaiting.method, awaiting.suite
    check_peer(config.credential, content.id_cred, peer)
    check_key(suite, peer.public, signs=method.initiator_signs)
    prk_4e3m = awaiting.prk_3e2m
    if not method.initiator_signs:
        g_iy = awaiting.ephemeral.agree(load_static(peer.public))
        prk_4e3m = mix(suite, awaiting.prk_3e2m, Label.SALT_4E3M, awaiting.th_3, g_iy)
    claim = Claim(content.id_cred.encoded, peer.cred, content.ead_encoded)
    statement_3(suite, method, prk_4e3m, awaiting.th_3, claim).verify(suite, peer.public, content.proof)
    th_4 = next_hash(suite, awaiting.th_3, read.plaintext_3, peer.cred)
    ead_4 = config.ead_4 + event.ead
    ciphertext_4 = seal(suite, prk_4e3m, MESSAGE_4, th_4, encode_ead(ead_4))
    facts = Facts(
        side=Side.RESPONDER,
        method=method,
        suite=suite,
        c_i=awaiting.message_1.c_i,
        c_r=config.c_r,
        own=config.credential,
        peer=peer,
        peer_id=content.id_cred,
        ead_1=awaiting.message_1.ead,
        ead_2=config.ead_2,
        ead_3=content.ead,
        ead_4=ead_4,
        th_4=th_4[-suite.hash.size :],
    )
    prk_out = kdf(suite, prk_4e3m, Label.PRK_OUT, th_4, suite.hash.size)
    return establish(facts, prk_out), (Send(octets(ciphertext_4)),)


def refuse_credential(data: Stage, event: CredentialUnknown) -> tuple[Stage, Effects]:
    """Say that the credential is unknown or refused, and end."""
    return disown(data, event, by_value=isinstance(data, ReadMessage3) and data.content.id_cred.by_value)


S = ResponderState
OPEN = (S.LISTENING, S.APPROACHED, S.ANSWERED, S.CLAIMED)

RESPONDER: Table[ResponderState, Stage] = Table(
    "responder",
    ResponderState,
    S.LISTENING,
    [
        #   in            on                  if                   do                 then
        row(S.LISTENING,  Message1Received,   suite_is_agreed,     read_message_1,    S.APPROACHED),
        row(S.LISTENING,  Message1Received,   another_try_is_left, name_suites,       STAY),
        row(S.LISTENING,  Message1Received,   None,                refuse_suite,      S.FAILED),
        row(S.APPROACHED, Signed,             signature_was_asked, send_signature,    S.ANSWERED),
        row(S.APPROACHED, Agreed,             agreement_was_asked, send_mac,          S.ANSWERED),
        row(S.APPROACHED, KeyOperationFailed, None,                give_up,           S.FAILED),
        row(S.ANSWERED,   Message3Received,   None,                read_message_3,    S.CLAIMED),
        row(S.CLAIMED,    CredentialFound,    None,                verify_message_3,  S.ESTABLISHED),
        row(S.CLAIMED,    CredentialUnknown,  None,                refuse_credential, S.FAILED),
        row(OPEN,         ErrorReceived,      None,                stop,              S.FAILED),
        row(OPEN,         HandshakeFailed,    None,                abort,             S.FAILED),
        row(OPEN,         ChannelLost,        None,                forget,            S.FAILED),
        row(OPEN,         DeadlinePassed,     None,                forget,            S.FAILED),
    ],
)  # fmt: skip
