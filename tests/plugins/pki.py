"""A manufacturer, a customer and whom they certify, for tests; private keys lie open here, as they never do else."""

from __future__ import annotations

import base64
import random
import shutil
import subprocess
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from insitu.protocol.engine import KeyKind, PublicKey
from insitu.protocol.keys.certificates import (
    Role,
    VerifiedCertificate,
    draft_certificate,
    trusted_root,
    verify_issued,
)
from insitu.protocol.keys.profile import FOREVER, ISSUER
from insitu.protocol.keys.public import public_of, raw_signature

NOW = 1_790_000_000
"""2026-09-21: a moment at which all certificates made here are valid."""
YEAR = 365 * 24 * 3600


def signed(private: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """r || s, the same every time."""
    return raw_signature(KeyKind.P256, private.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True)))


@dataclass
class Holder:
    """A certificate and its private key."""

    certificate: VerifiedCertificate
    private: ec.EllipticCurvePrivateKey

    @property
    def public(self) -> PublicKey:
        return self.certificate.public

    @property
    def der(self) -> bytes:
        return self.certificate.der

    def sign(self, message: bytes) -> bytes:
        """r || s."""
        return signed(self.private, message)


@dataclass
class Pki:
    """One root, one customer, and `issue` for all others. The same seed gives the same keys."""

    seed: int = 1
    chance: random.Random = field(init=False)
    root: Holder = field(init=False)
    customer: Holder = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.root = self.issue(Role.MANUFACTURER, "Example Modules")
        self.customer = self.issue(Role.CUSTOMER, "Example Bank")

    def private(self) -> ec.EllipticCurvePrivateKey:
        """Another private key."""
        return ec.derive_private_key(self.chance.randrange(1, 1 << 255), ec.SECP256R1())

    def issuer_of(self, role: Role) -> Holder:
        """Who certifies this role."""
        if ISSUER[role] is Role.CENTRAL:
            return self.central
        return self.root if ISSUER[role] is Role.MANUFACTURER else self.customer

    @cached_property
    def central(self) -> Holder:
        """Whose key certifies a circular customer."""
        return self.issue(Role.CENTRAL, "Example Host")

    def issue(
        self,
        role: Role,
        subject: str = "SM-000001",
        *,
        not_before: int = NOW - YEAR,
        not_after: int = NOW + YEAR,
    ) -> Holder:
        """A new holder of this role."""
        private = self.private()
        public = public_of(private.public_key())
        times = {"not_before": not_before, "not_after": not_after}
        number = self.chance.randbytes(16)
        if role is Role.MANUFACTURER:
            draft = draft_certificate(role, subject, public, None, random=number, not_before=0, not_after=FOREVER)
            return Holder(trusted_root(draft.assemble(signed(private, draft.to_be_signed))), private)
        issuer = self.issuer_of(role)
        draft = draft_certificate(role, subject, public, issuer.certificate, random=number, **times)
        data = draft.assemble(issuer.sign(draft.to_be_signed))
        return Holder(verify_issued(data, issuer.certificate, role, now=None), private)


def pem(data: bytes, what: str = "CERTIFICATE") -> str:
    """PEM of some DER."""
    return f"-----BEGIN {what}-----\n{base64.encodebytes(data).decode()}-----END {what}-----\n"


class OpenSsl:
    """The openssl command, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("openssl")
        if program is None:
            pytest.skip("no openssl command")
        self.program = program
        self.directory = directory

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One run of it; output as text."""
        return subprocess.run(
            [self.program, *arguments], cwd=self.directory, capture_output=True, text=True, check=False
        )

    def verify(self, root: bytes, leaf: bytes, *untrusted: bytes, at: int = NOW) -> str:
        """`openssl verify -x509_strict`: "OK", or what it complains of."""
        (self.directory / "root.pem").write_text(pem(root))
        (self.directory / "leaf.pem").write_text(pem(leaf))
        (self.directory / "untrusted.pem").write_text("".join(map(pem, untrusted)))
        chain = ["-untrusted", "untrusted.pem"] if untrusted else []
        done = self.run("verify", "-x509_strict", "-attime", str(at), "-CAfile", "root.pem", *chain, "leaf.pem")
        if done.returncode == 0:
            assert done.stdout == "leaf.pem: OK\n"
            return "OK"
        return done.stderr + done.stdout
