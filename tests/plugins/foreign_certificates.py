"""Certificates as other tools could make them: of our profile to the byte, unless told otherwise.

The profile stands here a second time, written down from the table in profile.py and not taken from its code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from pki import Holder, Pki

from insitu.protocol.engine import PublicKey
from insitu.protocol.keys.profile import KEY_USE, PATH_LENGTH, Role
from insitu.protocol.keys.public import load_public


def template(role: Role, subject: PublicKey, issuer: PublicKey) -> list[tuple[x509.ExtensionType, bool]]:
    """The profile's extensions, written down again."""
    subject_identifier = x509.SubjectKeyIdentifier(identifier(subject))
    authority = (x509.AuthorityKeyIdentifier(identifier(issuer), None, None), False)
    if role in PATH_LENGTH:
        parts: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(True, 1 if role is Role.MANUFACTURER else 0), True),
            (usage(authority=True), True),
            *([(x509.ExtendedKeyUsage([KEY_USE[role]]), True)] if role is Role.CIRCULAR else []),
            (subject_identifier, False),
        ]
        return parts if role is Role.MANUFACTURER else [*parts, authority]
    return [(usage(authority=False), True), (x509.ExtendedKeyUsage([KEY_USE[role]]), True), authority]


def identifier(public: PublicKey) -> bytes:
    digest = bytearray(hashlib.sha1(public.data).digest()[-8:])
    digest[0] = 0x40 | digest[0] & 0x0F
    return bytes(digest)


def usage(*, authority: bool, signature: bool = True, crl: bool = True) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority and signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signature,
        key_cert_sign=authority,
        crl_sign=authority and crl,
        encipher_only=False,
        decipher_only=False,
    )


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Change:
    """What is to differ from the profile; None: nothing."""

    subject: x509.Name | None = None
    issuer: x509.Name | None = None
    public: Any = None
    serial_number: int | None = None
    algorithm: HashAlgorithm | None = None
    extensions: Callable[[list[Any]], list[Any]] | None = None


def made_elsewhere(pki: Pki, holder: Holder, change: Change | None = None) -> bytes:
    """The certificate of `holder` as its issuer could have made it with other tools, DER."""
    change = change or Change()
    certificate = holder.certificate
    issuer = pki.issuer_of(certificate.role)
    parts = template(certificate.role, certificate.public, issuer.public)
    if change.extensions is not None:
        parts = change.extensions(parts)
    builder = (
        x509.CertificateBuilder()
        .serial_number(change.serial_number or certificate.serial_number)
        .issuer_name(change.issuer or name(issuer.certificate.subject))
        .not_valid_before(datetime.fromtimestamp(certificate.not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(certificate.not_after, UTC))
        .subject_name(name(certificate.subject) if change.subject is None else change.subject)
        .public_key(change.public or load_public(certificate.public))
    )
    for extension, critical in parts:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer.private, change.algorithm or SHA256()).public_bytes(Encoding.DER)
