"""Certificates and keys for both ends of a TLS link, as files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass
class Authority:
    """Issues certificates into a directory."""

    place: Path
    name: str = "authority"

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._issued(self.name, self._key, ca=True)
        self.file = self.place / f"{self.name}.pem"
        self.file.write_bytes(self._certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *, until: timedelta = timedelta(days=1)) -> tuple[Path, Path, str]:
        """Certificate file, key file and fingerprint."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issued(name, key, ca=False, until=until)
        certificate_file, key_file = self.place / f"{name}.pem", self.place / f"{name}.key"
        certificate_file.write_bytes(certificate.public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        key_file.chmod(0o600)
        return certificate_file, key_file, sha256(certificate.public_bytes(Encoding.DER)).hexdigest()

    def options(self, name: str, *, trusts: Authority | None = None) -> str:
        """The options of an address, for a certificate that is issued now."""
        certificate, key, _ = self.issue(name)
        return f"ca={(trusts or self).file}&certificate={certificate}&key={key}"

    def revoke(self, *certificates: Path) -> Path:
        """The list of these certificates, and no others, which replaces the one before."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - timedelta(hours=1))
            .next_update(now + timedelta(days=1))
            .add_extension(x509.CRLNumber(len(certificates)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for file in certificates:
            number = x509.load_pem_x509_certificate(file.read_bytes()).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now - timedelta(hours=1))
            builder = builder.add_revoked_certificate(entry.build())
        list_file = self.place / f"{self.name}.crl"
        list_file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return list_file

    def _issued(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, ca: bool, until: timedelta = timedelta(days=1)
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if ca else x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        now = datetime.now(UTC)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(digital_signature=not ca, key_cert_sign=ca, crl_sign=ca, decipher_only=False, **usage),
                critical=True,
            )
        )
        if not ca:
            places = [x509.IPAddress(ip_address("127.0.0.1"))] if name != "elsewhere" else [x509.DNSName("elsewhere")]
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = (
                builder.add_extension(x509.SubjectAlternativeName(places), critical=False)
                .add_extension(x509.ExtendedKeyUsage(both), critical=False)
                .add_extension(
                    x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
                )
            )
        return builder.sign(self._key, hashes.SHA256())
