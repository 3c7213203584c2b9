"""The initiator: sends message_1 and message_3, checks message_2 and message_4 (RFC 9528 section 5).

Its states, one stage a state, guards, actions, and LAST the table. Bytes become events in `frames`; long-term
keys are asked for by Sign and Agree, whom to trust by LookUp, so that no step waits for anything.
"""

from __future__ import annotations

from enum import Enum, auto

from ...engine import (
    Agree,
    Agreed,
    ChannelLost,
    DeadlinePassed,
    Effects,
    KeyOperationFailed,
    LookUp,
    ProtocolError,
    Send,
    Sign,
    Signed,
    Started,
    Table,
    given,
    row,
)
from ...messages.codec import DecodeError, decode_sequence
from ..cose import octets
from .config import Entropy, EphemeralSource, InitiatorConfig
from .credentials import Credential
from .curves import PUBLIC_BYTES, EphemeralKey, PublicPoint, as_public, load_static, load_x
from .ead import Ead, check_understood, encode_ead, read_ead
from .established import Facts, Side, establish
from .events import (
    CREDENTIAL,
    CredentialFound,
    CredentialQuery,
    CredentialUnknown,
    ErrorReceived,
    HandshakeFailed,
    Message2Received,
    Message4Received,
)
from .identifiers import encode_identifier
from .messages import ErrorCode, Plaintext, read_plaintext_2, write_message_1
from .proofs import Claim, Statement, check_admitted, check_key, check_peer, own_proof, statement_2, statement_3
from .refusals import abort, disown, forget, give_up, stop
from .schedule import MESSAGE_3, MESSAGE_4, Label, extract_2e, hash_2, kdf, keystream, mix, next_hash, seal, unseal, xor
from .stages import WHO, Stage, stage
from .suites import SUITES, Suite, best


class InitiatorState(Enum):
    """States of the initiator."""

    READY = auto()
    """Nothing was sent."""
    OFFERED = auto()
    """message_1 was sent."""
    ANSWERED = auto()
    """message_2 was read; whose credential it names is being looked up."""
    AUTHENTICATED = auto()
    """The responder has proved itself; this side's own proof is being made."""
    COMMITTED = auto()
    """message_3 was sent."""
    ESTABLISHED = auto()
    """message_4 confirmed the keys."""
    FAILED = auto()


# Stages


@stage
class Ready(Stage):
    """Of READY."""

    config: InitiatorConfig
    ephemerals: EphemeralSource


@stage
class AwaitingMessage2(Stage):
    """Of OFFERED. `tried`: numbers of the suites offered so far, this one last."""

    config: InitiatorConfig
    ephemerals: EphemeralSource
    tried: tuple[int, ...]
    suite: Suite
    ephemeral: EphemeralKey
    message_1: bytes


@stage
class ReadMessage2(Stage):
    """Of ANSWERED: message_2 decrypted, nothing in it proved."""

    config: InitiatorConfig
    suite: Suite
    ephemeral: EphemeralKey
    g_y: PublicPoint
    th_2: bytes
    prk_2e: bytes
    plaintext_2: bytes
    c_r: bytes
    content: Plaintext


@stage
class VerifiedMessage2(Stage):
    """Of AUTHENTICATED. `statement`: what is being signed; None while a static secret is being agreed."""

    config: InitiatorConfig
    suite: Suite
    c_r: bytes
    peer: Credential
    content: Plaintext
    th_3: bytes
    prk_3e2m: bytes
    claim: Claim
    ead_3: tuple[Ead, ...]
    statement: Statement | None


@stage
class AwaitingMessage4(Stage):
    """Of COMMITTED."""

    config: InitiatorConfig
    suite: Suite
    c_r: bytes
    peer: Credential
    content: Plaintext
    ead_3: tuple[Ead, ...]
    th_4: bytes
    prk_4e3m: bytes


def begin_initiator(config: InitiatorConfig, entropy: bytes) -> Stage:
    """The data of READY for one session.

    Args:
        config: the initiator's side.
        entropy: at least 64 bytes, fresh and secret, for this session only.

    Raises:
        UsageError: too little entropy.

    """
    return Ready(config, Entropy(entropy, Side.INITIATOR.value))


# Guards


def another_suite_is_left(data: Stage, event: ErrorReceived) -> bool:
    """The responder named a suite that this side supports and has not offered yet (section 6.3.1)."""
    return isinstance(data, AwaitingMessage2) and _next_suite(data, event) is not None


def signature_was_asked(data: Stage, _event: Signed) -> bool:
    """The method has this side prove itself with a signature."""
    return isinstance(data, VerifiedMessage2) and data.statement is not None


def agreement_was_asked(data: Stage, _event: Agreed) -> bool:
    """The method has this side prove itself with a static key."""
    return isinstance(data, VerifiedMessage2) and data.statement is None


def _next_suite(data: AwaitingMessage2, event: ErrorReceived) -> int | None:
    if event.message.code != ErrorCode.WRONG_SUITE:
        return None
    left = [number for number in event.message.suites if number not in data.tried]
    return best(data.config.suites, left)


# Actions


def offer(data: Stage, _event: Started) -> tuple[Stage, Effects]:
    """Send message_1 with the suite that comes first."""
    ready = data.take(Ready)
    config = ready.config
    return _offer(config, ready.ephemerals, (), config.suites[0] if config.selected is None else config.selected)


def offer_another(data: Stage, event: ErrorReceived) -> tuple[Stage, Effects]:
    """Send message_1 again, with the suite most preferred of those that the responder supports."""
    awaiting = data.take(AwaitingMessage2)
    number = given(_next_suite(awaiting, event))  # the guard saw to it
    return _offer(awaiting.config, awaiting.ephemerals, awaiting.tried, number)


def _offer(
    config: InitiatorConfig, ephemerals: EphemeralSource, tried: tuple[int, ...], number: int
) -> tuple[Stage, Effects]:
    suite = SUITES[number]
    ephemeral = ephemerals(suite.exchange, len(tried))
    preferred = config.suites[: config.suites.index(number) + 1]  # section 5.2.2: all preferred ones, always
    message_1 = write_message_1(config.method, preferred, ephemeral.x, config.c_i, encode_ead(config.ead_1))
    stage_2 = AwaitingMessage2(config, ephemerals, (*tried, number), suite, ephemeral, message_1)
    return stage_2, (Send(message_1),)


def read_message_2(data: Stage, event: Message2Received) -> tuple[Stage, Effects]:
    """Decrypt message_2 and ask for the credential that it names (section 5.3.3)."""
    awaiting = data.take(AwaitingMessage2)
    config, suite, ephemeral = awaiting.config, awaiting.suite, awaiting.ephemeral
    size = PUBLIC_BYTES[suite.exchange]
    if len(event.content) <= size:
        raise DecodeError("message_2", expected=f"more than {size} bytes", got=f"{len(event.content)} bytes")
    g_y, ciphertext_2 = event.content[:size], event.content[size:]
    if g_y == ephemeral.x:
        raise ProtocolError("G_Y", who=WHO, expected="another side's key", got="this side's own")
    point = load_x(suite.exchange, g_y)
    th_2 = hash_2(suite, g_y, awaiting.message_1)
    prk_2e = extract_2e(suite, th_2, ephemeral.agree(point))
    plaintext_2 = xor(ciphertext_2, keystream(suite, prk_2e, th_2, len(ciphertext_2)))
    c_r, content = read_plaintext_2(plaintext_2)
    check_admitted(content.id_cred, config.peer_kinds)
    check_understood(content.ead, config.ead_labels)
    query = CredentialQuery(content.id_cred, content.ead, config.ead_1, config.method, suite.number)
    read = ReadMessage2(config, suite, ephemeral, point, th_2, prk_2e, plaintext_2, c_r, content)
    return read, (LookUp(CREDENTIAL, query),)


def verify_message_2(data: Stage, event: CredentialFound) -> tuple[Stage, Effects]:
    """Check that the responder holds the key of this credential; have this side's own proof made."""
    read = data.take(ReadMessage2)
    config, suite, content = read.config, read.suite, read.content
    method, peer = config.method, event.credential
    check_peer(config.credential, content.id_cred, peer)
    check_key(suite, peer.public, signs=method.responder_signs)
    prk_3e2m = read.prk_2e
    if not method.responder_signs:
        g_rx = read.ephemeral.agree(load_static(peer.public))
        prk_3e2m = mix(suite, read.prk_2e, Label.SALT_3E2M, read.th_2, g_rx)
    claim_r = Claim(content.id_cred.encoded, peer.cred, content.ead_encoded)
    c_r = encode_identifier(read.c_r)
    statement_2(suite, method, prk_3e2m, read.th_2, c_r, claim_r).verify(suite, peer.public, content.proof)
    th_3 = next_hash(suite, read.th_2, read.plaintext_2, peer.cred)
    ead_3 = config.ead_3 + event.ead
    claim_i = Claim(config.own.id_cred, config.own.cred, encode_ead(ead_3))
    proving: Sign | Agree
    if method.initiator_signs:
        statement = statement_3(suite, method, prk_3e2m, th_3, claim_i)  # PRK_4e3m = PRK_3e2m
        proving = Sign(config.key, statement.to_sign)
    else:
        statement = None
        proving = Agree(config.key, as_public(read.g_y))
    verified = VerifiedMessage2(config, suite, read.c_r, peer, content, th_3, prk_3e2m, claim_i, ead_3, statement)
    return verified, (proving,)


def send_signature(data: Stage, event: Signed) -> tuple[Stage, Effects]:
    """Send message_3 with this side's signature (section 5.4.2)."""
    verified = data.take(VerifiedMessage2)
    return _send_message_3(verified, verified.prk_3e2m, own_proof(verified.suite, event.signature, signs=True))


def send_mac(data: Stage, event: Agreed) -> tuple[Stage, Effects]:
    """Send message_3 with the MAC that this side's static key allows."""
    verified = data.take(VerifiedMessage2)
    suite = verified.suite
    prk_4e3m = mix(
        suite, verified.prk_3e2m, Label.SALT_4E3M, verified.th_3, own_proof(suite, event.secret, signs=False)
    )
    statement = statement_3(suite, verified.config.method, prk_4e3m, verified.th_3, verified.claim)
    return _send_message_3(verified, prk_4e3m, statement.mac)


def _send_message_3(verified: VerifiedMessage2, prk_4e3m: bytes, proof: bytes) -> tuple[Stage, Effects]:
    suite, claim = verified.suite, verified.claim
    plaintext_3 = verified.config.own.compact + octets(proof) + claim.ead
    ciphertext_3 = seal(suite, verified.prk_3e2m, MESSAGE_3, verified.th_3, plaintext_3)
    th_4 = next_hash(suite, verified.th_3, plaintext_3, claim.cred)
    awaiting = AwaitingMessage4(
        verified.config, suite, verified.c_r, verified.peer, verified.content, verified.ead_3, th_4, prk_4e3m
    )
    return awaiting, (Send(octets(ciphertext_3)),)


def verify_message_4(data: Stage, event: Message4Received) -> tuple[Stage, Effects]:
    """Check that the responder has the same keys (section 5.5.3): the session is established."""
    awaiting = data.take(AwaitingMessage4)
    config, suite = awaiting.config, awaiting.suite
    plaintext_4 = unseal(suite, awaiting.prk_4e3m, MESSAGE_4, awaiting.th_4, event.content)
    ead_4, _ = read_ead(decode_sequence(plaintext_4))
    check_understood(ead_4, config.ead_labels)
    facts = Facts(
        side=Side.INITIATOR,
        method=config.method,
        suite=suite,
        c_i=config.c_i,
        c_r=awaiting.c_r,
        own=config.credential,
        peer=awaiting.peer,
        peer_id=awaiting.content.id_cred,
        ead_1=config.ead_1,
        ead_2=awaiting.content.ead,
        ead_3=awaiting.ead_3,
        ead_4=ead_4,
        th_4=awaiting.th_4[-suite.hash.size :],
    )
    return establish(facts, kdf(suite, awaiting.prk_4e3m, Label.PRK_OUT, awaiting.th_4, suite.hash.size)), ()


def refuse_credential(data: Stage, event: CredentialUnknown) -> tuple[Stage, Effects]:
    """Say that the credential is unknown or refused, and end."""
    return disown(data, event, by_value=isinstance(data, ReadMessage2) and data.content.id_cred.by_value)


S = InitiatorState
OPEN = (S.READY, S.OFFERED, S.ANSWERED, S.AUTHENTICATED, S.COMMITTED)

INITIATOR: Table[InitiatorState, Stage] = Table(
    "initiator",
    InitiatorState,
    S.READY,
    [
        #   in               on                  if                     do                 then
        row(S.READY,         Started,            None,                  offer,             S.OFFERED),
        row(S.OFFERED,       ErrorReceived,      another_suite_is_left, offer_another,     S.OFFERED),
        row(S.OFFERED,       Message2Received,   None,                  read_message_2,    S.ANSWERED),
        row(S.ANSWERED,      CredentialFound,    None,                  verify_message_2,  S.AUTHENTICATED),
        row(S.ANSWERED,      CredentialUnknown,  None,                  refuse_credential, S.FAILED),
        row(S.AUTHENTICATED, Signed,             signature_was_asked,   send_signature,    S.COMMITTED),
        row(S.AUTHENTICATED, Agreed,             agreement_was_asked,   send_mac,          S.COMMITTED),
        row(S.AUTHENTICATED, KeyOperationFailed, None,                  give_up,           S.FAILED),
        row(S.COMMITTED,     Message4Received,   None,                  verify_message_4,  S.ESTABLISHED),
        row(OPEN,            ErrorReceived,      None,                  stop,              S.FAILED),
        row(OPEN,            HandshakeFailed,    None,                  abort,             S.FAILED),
        row(OPEN,            ChannelLost,        None,                  forget,            S.FAILED),
        row(OPEN,            DeadlinePassed,     None,                  forget,            S.FAILED),
    ],
)  # fmt: skip
