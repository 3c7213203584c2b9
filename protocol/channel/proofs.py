"""The statements that are signed outside the handshake, and nothing else: one function a statement.

Each is a COSE Sig_structure ("Signature1", RFC 9052 section 4.4) whose external_aad binds it to its place: the
exporter value of the channel it was made for, or the challenge it answers. The payload is a CBOR array that
begins with a label of its own, so that no statement can be taken for another. What is proved by a MAC instead is a COSE
MAC_structure ("MAC0", section 6.3) of the same build.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256

from ..engine import PublicKey
from ..messages import encode
from .cose import ES256, to_be_maced, to_be_signed


class Side(Enum):
    """Who makes a proof by a shared secret."""

    MODULE = "module"
    UNIT = "unit"


def possession_of_secret(binding: bytes, option: str, side: Side, serial: str) -> bytes:
    """What a side makes a MAC over to show that it holds what a trust option asks for (formal models: tPM, tPU).

    Args:
        binding: the channel's exporter value, 32 bytes.
        option: name of the trust option.
        side: who proves.
        serial: the module's serial number.

    """
    return to_be_maced(encode(["insitu proof", option, side.value, serial]), external_aad=binding)


def exchange_identity(binding: bytes, option: str, side: Side, serial: str) -> bytes:
    """Who a side is in a password-authenticated key exchange: bound to channel, option, role and module (A6, A7).

    Args:
        binding: the channel's exporter value, 32 bytes.
        option: name of the trust option.
        side: whose identity.
        serial: the module's serial number.

    """
    return encode(["insitu exchange", option, side.value, serial, binding])


def ticket_path(number: int) -> bytes:
    """From what the key of a ticket is derived, under the card's main key (A4; formal model: ow)."""
    return encode(["insitu ticket key", number])


def ticket(number: int, serial: str, public: PublicKey) -> bytes:
    """What a manufacturer makes a MAC over, under the key of a ticket (A4; formal model: tTick).

    Not bound to a channel, since it is a certificate: the handshake, in which the identity key signs, is.

    Args:
        number: of the ticket.
        serial: the module's serial number.
        public: its identity key.

    """
    return to_be_maced(encode(["insitu ticket", number, serial, public.data]), external_aad=b"")


def possession(binding: bytes, serial: str, public: PublicKey) -> bytes:
    """What a module signs with a new key pair to show that it holds it (L3; formal model: tPop).

    Args:
        binding: the channel's exporter value, 32 bytes.
        serial: the module's serial number.
        public: the public half of the new pair.

    """
    return to_be_signed(ES256, encode(["insitu possession", serial, public.data]), external_aad=binding)


def confirmation(binding: bytes, serial: str, certificates: tuple[bytes, ...]) -> bytes:
    """What a module signs with its new key once all certificates hold: the digest of what it is about to keep.

    Args:
        binding: the channel's exporter value, 32 bytes.
        serial: the module's serial number.
        certificates: DER of the module's, the customer's and the central system's certificate.

    """
    digest = sha256(encode([serial, *certificates])).digest()
    return to_be_signed(ES256, encode(["insitu confirmation", digest]), external_aad=binding)


def reset_challenge(binding: bytes) -> bytes:
    """The module's challenge for a reset command: fresh and unpredictable because the channel is (32 bytes)."""
    return sha256(b"insitu reset challenge" + binding).digest()


def reset_command(serial: str, epoch: int, challenge: bytes) -> bytes:
    """What the central system signs to have this module, in this epoch, erase its keys (L8)."""
    return to_be_signed(ES256, encode(["insitu reset", serial, epoch]), external_aad=challenge)


def enrollment(binding: bytes, customer: bytes, central: PublicKey) -> bytes:
    """What a card signs with its authentication key to enrol its signing key at a central system (L14).

    Args:
        binding: the channel's exporter value, 32 bytes.
        customer: the certificate of the signing key, DER.
        central: the central system's key.

    """
    digest = sha256(customer).digest()
    return to_be_signed(ES256, encode(["insitu enrollment", digest, central.data]), external_aad=binding)


def trusted_issuer(certificate: bytes) -> bytes:
    """What the central system signs to know a customer's certificate again that it was told to trust (L9, M1)."""
    return to_be_signed(ES256, encode(["insitu trusted issuer", certificate]), external_aad=b"")


def log_head(card: bytes, entries: int, digest: bytes, signatures: int, at: int) -> bytes:
    """What a card says about its log, as the payload of a COSE_Sign1 by its authentication key (L12, S6).

    Args:
        card: SHA-256 of the certificate of its signing key, 32 bytes.
        entries: how many there are.
        digest: of the last one, 32 bytes.
        signatures: how many the log has had the signing key make.
        at: unix seconds, as the card was told.

    """
    return encode(["insitu log head", card, entries, digest, signatures, at])


def log_receipt(central: str, card: bytes, entries: int, digest: bytes, at: int) -> bytes:
    """What a central system says it has of a card's log, for good, as the payload of a COSE_Sign1 by its key (L12).

    Args:
        central: its name.
        card: SHA-256 of the certificate of the card's signing key, 32 bytes.
        entries: how many it has.
        digest: of the last one, 32 bytes.
        at: unix seconds.

    """
    return encode(["insitu log receipt", central, card, entries, digest, at])
