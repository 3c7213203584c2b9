"""Certificates and requests as PEM files, the form that other people's tools take. Nothing secret is written here."""

from __future__ import annotations

import ssl
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from pathlib import Path
from typing import Final

from ..protocol.engine import EnvironmentFault, UsageError

_REQUEST_BEGIN: Final = "-----BEGIN CERTIFICATE REQUEST-----"
_REQUEST_END: Final = "-----END CERTIFICATE REQUEST-----"
LARGEST: Final = 64 * 1024
"""Bytes of a PEM file that is read."""


def write_certificate(path: Path, der: bytes) -> None:
    """Write a certificate.

    Raises:
        EnvironmentFault: the file cannot be written.

    """
    _write(path, ssl.DER_cert_to_PEM_cert(der))


def read_certificate(path: Path) -> bytes:
    """The one certificate in a file, DER.

    Raises:
        UsageError: the file is missing or holds none, or more than one.

    """
    text = _read(path)
    try:
        if text.count("-----BEGIN") == 1:
            return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN") :].strip())
    except ValueError:
        pass
    raise UsageError(f"{path} is not a certificate", expected="one certificate in PEM", got=_first_line(text))


def write_request(path: Path, der: bytes) -> None:
    """Write a PKCS#10 request.

    Raises:
        EnvironmentFault: the file cannot be written.

    """
    text = b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    _write(path, "\n".join((_REQUEST_BEGIN, *lines, _REQUEST_END, "")))


def read_request(path: Path) -> bytes:
    """The one PKCS#10 request in a file, DER.

    Raises:
        UsageError: the file is missing or holds none.

    """
    text = _read(path)
    lines = text.strip().splitlines()
    if len(lines) > 2 and lines[0] == _REQUEST_BEGIN and lines[-1] == _REQUEST_END:
        try:
            return b64decode("".join(lines[1:-1]), validate=True)
        except NotBase64:
            pass
    raise UsageError(f"{path} is not a request", expected="one PKCS#10 request in PEM", got=_first_line(text))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}", got=error.strerror) from None
    if len(data) > LARGEST:
        raise UsageError(f"{path} is too large", expected=f"at most {LARGEST} bytes", got="more")
    return data.decode("ascii", "replace")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "ascii")
    except OSError as error:
        raise EnvironmentFault(f"cannot write {path}", got=error.strerror) from None


def _first_line(text: str) -> str:
    """What kind of file it is; of one that is not PEM nothing is shown, since it may be anything, say a passphrase."""
    line = text.strip().split("\n", 1)[0]
    if not line:
        return "an empty file"
    return line[:60] if line.startswith("-----BEGIN ") else "another kind of file"
