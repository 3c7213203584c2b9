"""The floor below a program: the calls that it makes into `cryptography`, `hashlib` and `hmac`, and nothing else.

`recorded` runs the program once under a profile hook and notes each such call in order; `Floor` repeats them bare, on
objects and arguments made beforehand. An unknown call is an error, so that the floor cannot lose what is new. What
the protocol does not need is not in the floor: a fifth signature counts only if `NEEDED` says so.

Left out of the floor: CBOR, DER, framing, state machines, random bytes, and the making of cipher objects.
"""

from __future__ import annotations

import hashlib
import hmac
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import FrameType, ModuleType
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.bindings import _rust
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

_MODULES: Final = ("cryptography", "_rust", "_hashlib", "_sha", "_hmac", "_blake2", "_md5")
_RUST_MODULES: Final = frozenset(dir(_rust)) | frozenset(dir(_rust.openssl))
"""How functions of `cryptography` name their modules: without the packages above."""
_PARTS: Final = frozenset({"HASH.digest", "encode_extension_value", "encode_name_bytes", "Certificate.public_bytes"})
"""Calls that belong to one that is counted already."""


def recorded(run: Callable[[], object]) -> list[str]:
    """The names of the primitive calls that `run` makes, in order.

    Raises:
        LookupError: a call that no primitive here stands for.

    """
    calls: list[str] = []
    unknown: set[str] = set()

    def hook(frame: FrameType, event: str, function: Any) -> None:
        if event != "c_call":
            return
        owner = getattr(function, "__self__", None)
        kind = "" if owner is None or isinstance(owner, type | ModuleType) else type(owner).__name__
        module = function.__module__ or type(owner).__module__
        name = f"{kind}.{function.__name__}".lstrip(".")
        primitive = module.startswith(_MODULES) or module in _RUST_MODULES
        if not primitive or name in _PARTS:
            return
        if name == "from_public_bytes":
            name += " compressed" if len(frame.f_locals["data"]) == 33 else " uncompressed"
        (calls.append if name in PRIMITIVES else unknown.add)(name)

    sys.setprofile(hook)
    try:
        run()
    finally:
        sys.setprofile(None)
    if unknown:
        raise LookupError(f"calls that the floor does not know: {', '.join(sorted(unknown))}")
    return calls


def within(calls: Sequence[str], needed: dict[str, int]) -> list[str]:
    """The calls without those that go beyond the number needed; names that `needed` does not bound all stay."""
    left = Counter(needed)
    kept = []
    for name in calls:
        if name in needed:
            left[name] -= 1
            if left[name] < 0:
                continue
        kept.append(name)
    return kept


def replay(calls: Sequence[str]) -> Callable[[], None]:
    """A function that makes these calls, in this order."""
    bare = [PRIMITIVES[name] for name in calls]

    def run() -> None:
        for call in bare:
            call()

    return run


# The primitives, each on material made once ------------------------------------------------------------------

_CURVE: Final = ec.SECP256R1()
_ECDSA: Final = ec.ECDSA(SHA256())
_ECDH: Final = ec.ECDH()
_SHA256: Final = SHA256()
_SHA512: Final = SHA512()
_MESSAGE: Final = bytes(range(256)) + bytes(44)
"""300 bytes: about what a certificate's signature is over."""
_INFO: Final = bytes(48)
_KEY: Final = bytes(range(32))
_NONCE: Final = bytes(13)
_PAIR: Final = ec.generate_private_key(_CURVE)
_OTHER: Final = ec.generate_private_key(_CURVE).public_key()
_PUBLIC: Final = _PAIR.public_key()
_SCALAR: Final = _PAIR.private_numbers().private_value
_POINT: Final = _PUBLIC.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
_COMPRESSED: Final = _PUBLIC.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
_SIGNATURE: Final = _PAIR.sign(_MESSAGE, _ECDSA)
_R, _S = decode_dss_signature(_SIGNATURE)
_CCM: Final = AESCCM(_KEY[:16])
_CCM_SEALED: Final = _CCM.encrypt(_NONCE, _MESSAGE, _INFO)
_GCM: Final = AESGCM(_KEY[:16])
_GCM_SEALED: Final = _GCM.encrypt(_NONCE[:12], _MESSAGE, None)
_NAME_OF_ISSUER: Final = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example Bank")])
_NAME_OF_HOLDER: Final = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SM-000001")])
_BEGIN, _END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)
_EXTENSIONS: Final = (
    x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]),
    x509.AuthorityKeyIdentifier(bytes(8), None, None),
)


def _built() -> bytes:
    """A leaf certificate, built and signed."""
    builder = (
        x509.CertificateBuilder()
        .serial_number(1 << 126)
        .issuer_name(_NAME_OF_ISSUER)
        .subject_name(_NAME_OF_HOLDER)
        .not_valid_before(_BEGIN)
        .not_valid_after(_END)
        .public_key(_PUBLIC)
    )
    for extension in _EXTENSIONS:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(_PAIR, _SHA256).public_bytes(Encoding.DER)


_DER: Final = _built()
_CERTIFICATE: Final = x509.load_der_x509_certificate(_DER)
_load: Final = ec.EllipticCurvePublicKey.from_encoded_point

PRIMITIVES: Final[dict[str, Callable[[], object]]] = {
    "generate_private_key": lambda: ec.generate_private_key(_CURVE),
    "derive_private_key": lambda: ec.derive_private_key(_SCALAR, _CURVE),
    "ECPrivateKey.public_key": _PAIR.public_key,
    "ECPublicKey.public_bytes": lambda: _PUBLIC.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
    "from_public_bytes compressed": lambda: _load(_CURVE, _COMPRESSED),
    "from_public_bytes uncompressed": lambda: _load(_CURVE, _POINT),
    "ECPrivateKey.exchange": lambda: _PAIR.exchange(_ECDH, _OTHER),
    "ECPrivateKey.sign": lambda: _PAIR.sign(_MESSAGE, _ECDSA),
    "ECPublicKey.verify": lambda: _PUBLIC.verify(_SIGNATURE, _MESSAGE, _ECDSA),
    "decode_dss_signature": lambda: decode_dss_signature(_SIGNATURE),
    "encode_dss_signature": lambda: encode_dss_signature(_R, _S),
    "HKDF.derive": lambda: HKDF(_SHA512, 40, _KEY, _INFO).derive(_KEY),
    "HKDFExpand.derive": lambda: HKDFExpand(_SHA256, 32, _INFO).derive(_KEY),
    "hmac_digest": lambda: hmac.digest(_KEY, _INFO, "sha256"),
    "compare_digest": lambda: hmac.compare_digest(_KEY, _KEY),
    "load_der_x509_certificate": lambda: x509.load_der_x509_certificate(_DER),
    "Certificate.public_key": _CERTIFICATE.public_key,
    "create_x509_certificate": _built,
    "openssl_sha1": lambda: hashlib.sha1(_POINT, usedforsecurity=False).digest(),
    "openssl_sha256": lambda: hashlib.sha256(_MESSAGE).digest(),
    "AESCCM.encrypt": lambda: _CCM.encrypt(_NONCE, _MESSAGE, _INFO),
    "AESCCM.decrypt": lambda: _CCM.decrypt(_NONCE, _CCM_SEALED, _INFO),
    "AESGCM.encrypt": lambda: _GCM.encrypt(_NONCE[:12], _MESSAGE, None),
    "AESGCM.decrypt": lambda: _GCM.decrypt(_NONCE[:12], _GCM_SEALED, None),
}
