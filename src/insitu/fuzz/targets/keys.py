"""What keys and certificates come in: certificates, lists, requests, key blocks, codes, addresses of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

from ...protocol.engine import KeyHandle, PublicKey, SecretAlgorithm, SecretUsage, UsageError, given
from ...protocol.keys.certificates import (
    Role,
    VerifiedCertificate,
    draft_certificate,
    is_circular,
    read_fingerprint,
    trusted_root,
    verify_circle,
    verify_issued,
)
from ...protocol.keys.codes import ALPHABETS, CodeRefused, read_code, read_symbols, write_code, write_symbols
from ...protocol.keys.drafting import put_together
from ...protocol.keys.keyblock import KeyBlockRefused, read_block, write_block
from ...protocol.keys.pkcs11_uri import TokenUri, read_uri
from ...protocol.keys.port import KeyRefused
from ...protocol.keys.reading import CertificateRefused
from ...protocol.keys.requests import draft_request, read_request
from ...protocol.keys.revocation import draft_crl, read_crl
from ...protocol.keys.tans import read_tan
from ..scene import NOW, SERIAL, CopiedVault, Named, scene
from ..target import Shape, check, outcome_of, target

WRAPPING: Final = bytes(range(32))
ROLES: Final = (Role.CUSTOMER, Role.MODULE, Role.CENTRAL, Role.UNIT, Role.IDENTITY)


@cache
def customer() -> VerifiedCertificate:
    """The customer's certificate, verified."""
    return verify_issued(scene().customer, trusted_root(scene().root), Role.CUSTOMER, now=None)


@cache
def signing() -> tuple[CopiedVault, dict[PublicKey, KeyHandle]]:
    """Manufacturer's and customer's keys: for inputs that only a signature makes right."""
    vault = CopiedVault("signs", scene().card)
    return vault, {pair.public: pair for pair in (given(vault.find(label)) for label in _pairs(vault))}


def _pairs(vault: CopiedVault) -> list[str]:
    return [label for label in sorted(vault.labels()) if vault.find(label) is not None]


def certificate_seeds() -> Iterator[bytes]:
    """Every certificate of the scene."""
    there = scene()
    yield from (there.module, there.unit, there.central, there.customer, there.root)


@target("certificates", Shape.DER, certificate_seeds)
def certificates(data: bytes) -> str:
    """No bytes but those of the issuer are a certificate of any role; CertificateRefused is the only error."""
    outcome, taken = "", 0
    for role in ROLES:
        issuer = trusted_root(scene().root) if role in (Role.CUSTOMER, Role.IDENTITY) else customer()
        try:
            verified = verify_issued(data, issuer, role, now=NOW)
        except CertificateRefused as error:
            outcome = outcome or f"{error.check}"
            continue
        check(data in certificate_seeds() and verified.role is role, "another certificate was accepted")
        taken += 1
    for read in (read_fingerprint, is_circular, trusted_root):
        try:
            read(data)
        except CertificateRefused:
            continue
        check(read is not trusted_root or data == scene().root, "another root was accepted")
    try:
        verify_circle(data, scene().central)
    except CertificateRefused:
        return f"accepted {taken}" if taken else f"refused for its {outcome}"
    raise AssertionError("a circle that nobody made")


def signed_part_seeds() -> Iterator[bytes]:
    """What the customer signs: the part of a certificate that comes before the signature."""
    for role, subject in ((Role.MODULE, SERIAL), (Role.UNIT, "Bank unit 2"), (Role.CENTRAL, "Host 2")):
        public = customer().public if role is Role.MODULE else trusted_root(scene().root).public
        times = {"not_before": NOW - 10, "not_after": NOW + 1_000_000}
        yield draft_certificate(role, subject, public, customer(), random=bytes(range(16)), **times).to_be_signed


@target("signed-certificates", Shape.DER, signed_part_seeds, seconds=0.1)
def signed_certificates(data: bytes) -> str:
    """Whatever the issuer signs is taken for one role at most, with fields that the profile allows; else refused.

    Forms that the library does not tell apart are taken (decision 0004): only the issuer can make them.
    """
    vault, pairs = signing()
    der = put_together(data, vault.sign(pairs[customer().public], data))
    outcome, roles = "", list[str]()
    for role in (Role.MODULE, Role.UNIT, Role.CENTRAL):
        try:
            found = verify_issued(der, customer(), role, now=None)
        except CertificateRefused as error:
            outcome = outcome or error.check
            continue
        check(found.der == der and found.role is role, "the object says something else")
        number, ends = found.serial_number.to_bytes(16, "big"), min(found.not_after, customer().not_after)
        if found.not_before <= ends:
            times = {"not_before": found.not_before, "not_after": ends}
            draft_certificate(role, found.subject, found.public, customer(), random=number, **times)
        roles.append(role.value)
    check(len(roles) < 2, "one certificate for two roles")
    return f"accepted {roles[0]}" if roles else f"refused for its {outcome}"


@cache
def _list() -> bytes:
    vault, pairs = signing()
    revoked = {1 << 126 | 5: NOW - 5, 1 << 126 | 9: NOW - 1}
    draft = draft_crl(customer(), revoked, number=3, this_update=NOW - 10, next_update=NOW + 100_000)
    return draft.assemble(vault.sign(pairs[customer().public], draft.to_be_signed))


def list_seeds() -> Iterator[bytes]:
    """Revocation lists, with entries and without."""
    yield _list()
    vault, pairs = signing()
    draft = draft_crl(customer(), {}, number=1, this_update=NOW, next_update=NOW + 9)
    yield draft.assemble(vault.sign(pairs[customer().public], draft.to_be_signed))


@target("revocation-lists", Shape.DER, list_seeds)
def revocation_lists(data: bytes) -> str:
    """No bytes but those of the issuer are a revocation list; CertificateRefused is the only error."""
    try:
        found = read_crl(data, customer())
    except CertificateRefused as error:
        return f"refused for its {error.check}"
    check(data in list_seeds(), "another list was accepted")
    return f"accepted {found.number}"


def request_seeds() -> Iterator[bytes]:
    """Certification requests."""
    yield scene().request
    vault, pairs = signing()
    draft = draft_request("Bank 2", customer().public)
    yield draft.assemble(vault.sign(pairs[customer().public], draft.to_be_signed))


@target("requests", Shape.DER, request_seeds)
def requests(data: bytes) -> str:
    """What is taken for a request is of the form that we write, signed by its own key; else CertificateRefused."""
    try:
        found = read_request(data)
    except CertificateRefused as error:
        return f"refused for its {error.check}"
    written = draft_request(found.subject, found.public).to_be_signed
    check(written in data and found.der == data, "another form was accepted")
    return "accepted"


def block_seeds() -> Iterator[bytes]:
    """Key blocks of every usage."""
    for usage in (SecretUsage.MAC, SecretUsage.PIN):
        for algorithm, size in ((SecretAlgorithm.AES, 16), (SecretAlgorithm.AES, 32), (SecretAlgorithm.TDES, 24)):
            try:
                yield write_block(WRAPPING, usage, algorithm, Named("key block")(size), Named("padding")).encode()
            except KeyRefused:
                continue


@target("key-blocks", Shape.TEXT, block_seeds)
def key_blocks(data: bytes) -> str:
    """No text but a block under the wrapping key gives a key; KeyBlockRefused and KeyRefused are the only errors."""
    block = data.decode(errors="replace")
    try:
        usage, algorithm, key = read_block(WRAPPING, block)
    except (KeyBlockRefused, KeyRefused) as error:
        check(block[:40] not in str(error) or len(block) < 40, "an error repeats the block")
        return outcome_of(error)
    check(data in block_seeds(), "another block was accepted")
    return f"accepted {usage.value} {algorithm.value} {len(key)}"


def code_seeds() -> Iterator[bytes]:
    """Codes in every alphabet, and a TAN."""
    yield from (write_code(bytes(range(16)), alphabet).encode() for alphabet in ALPHABETS)
    yield from (write_symbols(alphabet.symbols[1:9] * 2, alphabet).encode() for alphabet in ALPHABETS)
    yield b"0Oo1-Ii lL 22"


@target("codes", Shape.TEXT, code_seeds)
def codes(data: bytes) -> str:
    """What is read from a code is written as the same again; CodeRefused is the only error and shows no symbol."""
    typed = data.decode(errors="replace")
    taken = 0
    for alphabet in ALPHABETS:
        try:
            symbols = read_symbols(typed, alphabet, 16)
        except CodeRefused as error:
            check(len(typed) < 12 or typed[:12] not in str(error), "an error repeats what was typed")
            continue
        check(read_symbols(write_symbols(symbols, alphabet), alphabet, 16) == symbols, "another code came back")
        taken += 1
    try:
        read = read_code(typed, 16)
    except CodeRefused as error:
        outcome = outcome_of(error)
    else:
        check(all(read_code(write_code(read, alphabet), 16) == read for alphabet in ALPHABETS), "other bytes came back")
        return f"code, {taken} readings"
    try:
        return f"TAN of {len(read_tan(typed))}"
    except UsageError as error:
        check(len(typed) < 12 or typed[:12] not in str(error), "an error repeats what was typed")
    return f"{outcome}, {taken} readings"


def uri_seeds() -> Iterator[bytes]:
    """URIs of tokens."""
    yield b"pkcs11:token=Cards;object=key%201;id=%01%02;type=private?pin-source=file:pin&module-name=softhsm2"
    yield b"pkcs11:slot-id=3;library-version=2.6;manufacturer=A&B?pin-source=file:///etc/pin&x-ours=1"
    yield b"PKCS11:"


@target("pkcs11-uris", Shape.TEXT, uri_seeds)
def pkcs11_uris(data: bytes) -> str:
    """A PKCS#11 URI never runs a program, and no error repeats a PIN; UsageError is the only error."""
    text = data.decode(errors="replace")
    try:
        found = read_uri(text)
    except UsageError as error:
        pin = text.partition("pin-value=")[2][:12]
        check(len(pin) < 8 or pin not in str(error), "an error repeats a PIN")
        return outcome_of(error)
    check(isinstance(found, TokenUri) and not found.pin_source.startswith("|"), "a program is taken for a file")
    check("pin-value" not in text.partition("?")[2].split("=")[0], "a PIN was taken")
    return f"accepted {len(found.selects)}"
