"""Signature_or_MAC: how a side proves to hold the key of its credential (RFC 9528 sections 5.3.2 and 5.4.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from hmac import compare_digest

from ...engine import Fault, ProtocolError, PublicKey, UsageError
from ...keys.public import FIELD_BYTES
from ...messages.codec import DecodeError
from ..cose import KEY_KINDS, SIGNATURE_BYTES, octets, sig_structure, verify_signature
from .credentials import Credential, IdCred
from .curves import PUBLIC_BYTES
from .schedule import Label, kdf
from .stages import WHO
from .suites import Method, Suite


@dataclass(frozen=True, slots=True)
class Claim:
    """What one side says of itself: ID_CRED_x, CRED_x and EAD_x, each encoded."""

    id_cred: bytes
    cred: bytes
    ead: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one side has to prove.

    Attributes:
        mac: MAC_2 or MAC_3; with a static key it is the proof itself.
        to_sign: Sig_structure around the MAC; empty for a side with a static key.

    """

    mac: bytes = field(repr=False)
    to_sign: bytes = field(repr=False)

    def verify(self, suite: Suite, public: PublicKey, proof: bytes) -> None:
        """Hold Signature_or_MAC against the statement.

        Raises:
            ProtocolError: it was not made by who holds the key `public` (for this transcript, credential and EAD).

        """
        length = SIGNATURE_BYTES[suite.signature] if self.to_sign else len(self.mac)
        if len(proof) != length:
            raise DecodeError("Signature_or_MAC", expected=f"{length} bytes", got=f"{len(proof)} bytes")
        if not self.to_sign:
            if not compare_digest(self.mac, proof):
                raise ProtocolError("MAC does not hold", who=WHO, expected="the holder of the credential's key")
        elif not verify_signature(suite.signature, public, self.to_sign, proof):
            raise ProtocolError("signature does not hold", who=WHO, expected="the holder of the credential's key")


def statement_2(suite: Suite, method: Method, prk_3e2m: bytes, th_2: bytes, c_r: bytes, claim: Claim) -> Statement:
    """The responder's; `c_r` as it crosses."""
    return _statement(suite, Label.MAC_2, prk_3e2m, c_r, th_2, claim, signs=method.responder_signs)


def statement_3(suite: Suite, method: Method, prk_4e3m: bytes, th_3: bytes, claim: Claim) -> Statement:
    """The initiator's."""
    return _statement(suite, Label.MAC_3, prk_4e3m, b"", th_3, claim, signs=method.initiator_signs)


def own_proof(suite: Suite, answer: bytes, *, signs: bool) -> bytes:
    """What key memory answered to Sign or Agree, if it has the length that it must have.

    Raises:
        UsageError: it has not; key memory does not keep to its port.

    """
    length = SIGNATURE_BYTES[suite.signature] if signs else PUBLIC_BYTES[suite.exchange]
    if len(answer) != length:
        raise UsageError("answer of key memory", who=WHO, expected=f"{length} bytes", got=f"{len(answer)} bytes")
    return answer


def _statement(
    suite: Suite, label: Label, prk: bytes, c_r: bytes, th: bytes, claim: Claim, *, signs: bool
) -> Statement:
    bound = th + claim.cred + claim.ead
    context = octets(c_r + claim.id_cred + bound)
    mac = kdf(suite, prk, label, context, suite.hash.size if signs else suite.mac_bytes)
    return Statement(mac, sig_structure(claim.id_cred, bound, mac) if signs else b"")


def check_admitted(id_cred: IdCred, kinds: frozenset[type[IdCred]]) -> None:
    """Refuse a kind of identification that this side does not take.

    Raises:
        ProtocolError: it is one.

    """
    if type(id_cred) not in kinds:
        expected = " or ".join(sorted(kind.__name__ for kind in kinds))
        raise ProtocolError("ID_CRED", who=WHO, expected=expected, got=type(id_cred).__name__, fault=Fault.UNSUPPORTED)


def check_peer(own: Credential, id_cred: IdCred, found: Credential) -> None:
    """Refuse a credential that is not the one identified, and one's own (reflection, RFC 9528 section 9.2).

    Raises:
        ProtocolError: it is.

    """
    if not id_cred.identifies(found.cred):
        raise ProtocolError("credential", who=WHO, expected="the one that ID_CRED identifies", got="another one")
    if found.cred == own.cred or _same_key(found.public, own.public):
        raise ProtocolError("credential", who=WHO, expected="another party's", got="this side's own")


def _same_key(one: PublicKey, other: PublicKey) -> bool:
    """Whether who holds one holds the other: points of one x differ at most in a sign."""
    if one.kind is not other.kind or one.kind not in FIELD_BYTES:
        return one == other
    return one.data[: 1 + FIELD_BYTES[one.kind]] == other.data[: 1 + FIELD_BYTES[one.kind]]


def check_key(suite: Suite, public: PublicKey, *, signs: bool) -> None:
    """Refuse a credential whose key does not serve in this suite and method.

    Raises:
        ProtocolError: it does not.

    """
    kind = KEY_KINDS[suite.signature] if signs else suite.exchange
    if public.kind is not kind:
        raise ProtocolError(
            "authentication key", who=WHO, expected=kind.value, got=public.kind.value, fault=Fault.UNSUPPORTED
        )
