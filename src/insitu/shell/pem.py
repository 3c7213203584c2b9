"""Certificates and requests as PEM files (RFC 7468), the form that other tools take. Nothing secret is written."""

from __future__ import annotations

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Final

from ..protocol.engine import UsageError
from .output import write_whole

_REPLACED: Final = ("CERTIFICATE", "X509 CRL")
LARGEST: Final = 64 * 1024
"""Bytes of a PEM file that is read."""

_CERTIFICATE: Final = "CERTIFICATE"
_REQUEST: Final = "CERTIFICATE REQUEST"
_CRL: Final = "X509 CRL"
_BEGIN: Final = "-----BEGIN "


def write_certificate(path: Path, der: bytes) -> None:
    """Write a certificate.

    Raises:
        UsageError: there is a file of another kind.
        EnvironmentFault: the file cannot be written.

    """
    _write(path, _CERTIFICATE, der)


def read_certificate(path: Path) -> bytes:
    """The one certificate in a file, DER.

    Raises:
        UsageError: the file is missing or holds none, or more than one.

    """
    return _read(path, _CERTIFICATE, "certificate")


def write_request(path: Path, der: bytes) -> None:
    """Write a PKCS#10 request.

    Raises:
        UsageError: there is a file of another kind.
        EnvironmentFault: the file cannot be written.

    """
    _write(path, _REQUEST, der)


def read_request(path: Path) -> bytes:
    """The one PKCS#10 request in a file, DER.

    Raises:
        UsageError: the file is missing or holds none, or more than one.

    """
    return _read(path, _REQUEST, "request")


def write_crl(path: Path, der: bytes) -> None:
    """Write a certificate revocation list.

    Raises:
        UsageError: there is a file of another kind.
        EnvironmentFault: the file cannot be written.

    """
    _write(path, _CRL, der)


def read_crl(path: Path) -> bytes:
    """The one certificate revocation list in a file, DER.

    Raises:
        UsageError: the file is missing or holds none, or more than one.

    """
    return _read(path, _CRL, "revocation list")


def text_of(der: bytes, *, crl: bool = False) -> str:
    """The text of such a file: of a certificate, or of a certificate revocation list."""
    return _block(_CRL if crl else _CERTIFICATE, der)


def check_target(path: Path) -> None:
    """Make sure that nothing is replaced but certificates, requests and lists: no store, no passphrase file.

    Raises:
        UsageError: there is a file of another kind.

    """
    if path.is_file() and (text := _text(path)).strip() and not any(f"{_BEGIN}{kind}" in text for kind in _REPLACED):
        raise UsageError(f"{path} is in use", expected="a new file, or a certificate to replace", got=_kind(text))


def _read(path: Path, label: str, what: str) -> bytes:
    """The one block in a file; what stands before and after it, as openssl prints it, does not matter."""
    text = _text(path)
    lines = text.splitlines()
    begin, end = f"{_BEGIN}{label}-----", f"-----END {label}-----"
    if text.count(_BEGIN) == 1 and begin in lines and end in lines:
        try:
            der = b64decode("".join(lines[lines.index(begin) + 1 : lines.index(end)]), validate=True)
        except ValueError:
            der = b""
        if der:
            return der
    raise UsageError(f"{path} is not a {what}", expected=f"one {what} in PEM", got=_kind(text))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}", got=error.strerror) from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is too large", expected=f"at most {LARGEST} bytes", got="more")
    return data.decode("ascii", "replace")


def _write(path: Path, label: str, der: bytes) -> None:
    check_target(path)
    write_whole(path, _block(label, der).encode("ascii"))


def _block(label: str, der: bytes) -> str:
    text = b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join((f"{_BEGIN}{label}-----", *lines, f"-----END {label}-----", ""))


def _kind(text: str) -> str:
    """What kind of file it is; of one that is not PEM nothing is shown, since it may be anything, say a passphrase."""
    line = next((line for line in text.splitlines() if line.startswith(_BEGIN)), "")
    if line:
        return line[:60]
    return "another kind of file" if text.strip() else "an empty file"
