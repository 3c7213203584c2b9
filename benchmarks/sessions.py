"""What a handshake and a whole personalization cost in processor time, against plain cryptography and against TLS.

All are interleaved in one run. Ours go the way they go in the field: the shell's calls, the sessions, the tables, real
certificates, the card with its log; only storage and the driver's scheduler are left out. What a program does once and
not for each session is outside the clock on all sides: TLS contexts, our own certificates, the PINs of the approvers.
"""

from __future__ import annotations

import secrets
from collections import Counter
from itertools import pairwise
from typing import Final

import tls
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from floor import recorded, replay, within
from measuring import Result, batch, clock, medians, profile
from parties import NOW, Parties
from pumping import driven_by_hand, shake_hands

from insitu.protocol.channel.edhoc import Credential, X5Chain

NEEDED: Final = {
    "derive_private_key": 3,
    "ECPrivateKey.exchange": 2,
    "ECPrivateKey.sign": 4,
    "create_x509_certificate": 1,
    "load_der_x509_certificate": 5,
    "Certificate.public_key": 5,
    "ECPublicKey.verify": 9,
    "from_public_bytes compressed": 3,
}
"""What a personalization needs of the dear primitives; more of them would not be in its floor.

Pairs: two ephemeral ones, the module's new one. Signatures: both handshake proofs, possession, confirmation; a fifth
lies within the making of the module's certificate. Verifications: those four, and the certificates of identity,
customer, unit, module and central system, which are the five that are read. Points to be decompressed: both ephemeral
ones, the module's new key.
"""

_CURVE: Final = ec.SECP256R1()
_ECDSA: Final = ec.ECDSA(SHA256())
_ECDH: Final = ec.ECDH()


async def measure(repeats: int) -> list[Result]:
    """The ratios."""
    parties = Parties()
    terms = parties.terms()
    keys = (parties.module_keys, parties.card.keys)

    async def handshake() -> float:
        parties.set_back()
        started = clock()
        shake_hands(*parties.handshakes(*terms), keys, NOW)
        return clock() - started

    async def personalization() -> float:
        parties.set_back()
        pump = parties.personalization()
        started = clock()
        pump.run()
        return clock() - started

    with driven_by_hand(), tls.contexts() as contexts:
        parties.set_back()
        calls = recorded(parties.personalization().run)
        parties.set_back()
        edhoc_calls = recorded(lambda: shake_hands(*parties.handshakes(*terms), keys, NOW))

        async def mutual_tls() -> float:
            ends = tls.ends(contexts)
            started = clock()
            await tls.shake_hands(*ends)
            return clock() - started

        bare = batch(replay(within(calls, NEEDED)))
        samples = {
            "handshake": handshake,
            "handshake primitives": batch(replay(edhoc_calls)),
            "plain": batch(Plain(parties).on_objects),
            "bytes": batch(Plain(parties).on_bytes),
            "tls": mutual_tls,
            "whole": personalization,
            "floor": bare,
        }
        found = await medians(samples, repeats)
        surplus = {name: Counter(calls)[name] - most for name, most in NEEDED.items() if calls.count(name) > most}
        results = _results(found, surplus)
        for subject, run in (("edhoc.", handshake), ("personalization.", personalization)):
            missed = [result for result in results if result.id.startswith(subject) and not result.met]
            if missed:
                missed[0].why = await profile(run)
    return results


def _results(found: dict[str, float], surplus: dict[str, int]) -> list[Result]:
    us = {name: f"{seconds * 1e6:,.0f} us" for name, seconds in found.items()}
    primitives = found["handshake primitives"]
    beyond = ", ".join(f"{count} {name}" for name, count in surplus.items()) or "nothing"
    return [
        Result(
            "edhoc.plain",
            "EDHOC / plain cryptography calls",
            found["handshake"] / found["plain"],
            1.5,
            f"{us['handshake']} / {us['plain']}; EDHOC's own primitives, bare: {primitives / found['plain']:.2f}",
        ),
        Result(
            "edhoc.plain_from_bytes",
            "EDHOC / the same calls from bytes as they cross",
            found["handshake"] / found["bytes"],
            note=f"{us['handshake']} / {us['bytes']}; plain: points and certificates read first",
        ),
        Result(
            "edhoc.tls",
            "EDHOC / mutual TLS 1.3 handshake",
            found["handshake"] / found["tls"],
            0.6,
            f"{us['handshake']} / {us['tls']}",
        ),
        Result(
            "personalization.floor",
            "personalization / its own primitives, bare",
            found["whole"] / found["floor"],
            2.0,
            f"{us['whole']} / {us['floor']}; beyond what is needed: {beyond}",
        ),
        Result(
            "personalization.tls",
            "personalization / mutual TLS 1.3 handshake",
            found["whole"] / found["tls"],
            0.7,
            f"{us['whole']} / {us['tls']}; its primitives alone: {found['floor'] / found['tls']:.2f}",
        ),
    ]


class Plain:
    """The handshake's cryptography and nothing else.

    Two key generations, two ECDH, two signatures, and a verification for each of the two signatures and of the three
    certificates that cross.
    """

    def __init__(self, parties: Parties) -> None:
        module, unit = parties.terms()
        identity, customer, leaf = (*_chain(module.own), *reversed(_chain(unit.own)))
        root = x509.load_der_x509_certificate(module.root.der)
        self._root = root
        self._chains = [[identity], [leaf, customer]]
        links = [(identity, module.root.der), (customer, module.root.der), (leaf, customer)]
        self._links = [_link(x509.load_der_x509_certificate(der), by) for der, by in links]
        self._pairs = [(key, key.public_key()) for key in (ec.generate_private_key(_CURVE) for _ in range(2))]
        self._message = secrets.token_bytes(300)

    def on_objects(self) -> None:
        """On key objects, and on signatures with what they are over, that lie ready."""
        one, other = ec.generate_private_key(_CURVE), ec.generate_private_key(_CURVE)
        one.exchange(_ECDH, other.public_key())
        other.exchange(_ECDH, one.public_key())
        for issuer, signature, signed in self._links:
            issuer.verify(signature, signed, _ECDSA)
        self._sign_and_verify()

    def on_bytes(self) -> None:
        """On what crosses: points and certificates as bytes, to be read first; the root is there."""
        one, other = ec.generate_private_key(_CURVE), ec.generate_private_key(_CURVE)
        for own, peer in ((one, other), (other, one)):
            crossing = peer.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
            own.exchange(_ECDH, ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, crossing))
        for chain in self._chains:
            certificates = [*map(x509.load_der_x509_certificate, chain), self._root]
            for certificate, issuer in pairwise(certificates):
                certificate.verify_directly_issued_by(issuer)
            certificates[0].public_key()
        self._sign_and_verify()

    def _sign_and_verify(self) -> None:
        for private, public in self._pairs:
            public.verify(private.sign(self._message, _ECDSA), self._message, _ECDSA)


def _chain(own: Credential) -> tuple[bytes, ...]:
    assert isinstance(own.id_cred, X5Chain)
    return own.id_cred.certificates


def _link(certificate: x509.Certificate, issuer: bytes) -> tuple[ec.EllipticCurvePublicKey, bytes, bytes]:
    key = x509.load_der_x509_certificate(issuer).public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key, certificate.signature, certificate.tbs_certificate_bytes
