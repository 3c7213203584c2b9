"""Requests for certificates out of files, compared with what people were told of the key in them."""

from __future__ import annotations

from pathlib import Path

from ..protocol.engine import UsageError
from ..protocol.keys.certificates import fingerprint_text, key_digest
from ..protocol.keys.requests import Request, read_request
from ..shell import pem
from .common import about, read_fingerprint


def read_told_request(path: Path, key: str | None, *, who: str) -> Request:
    """A request in PEM, if its key has the fingerprint that people were told over another path, where they were.

    Raises:
        UsageError: it has another, or what was told is no fingerprint.
        EnvironmentFault, CertificateRefused: there is no request, or it does not hold.

    """
    data = pem.read_request(path)
    with about(path):
        request = read_request(data)
    if key is None:
        return request
    told, found = read_fingerprint(key), key_digest(request.public)
    if found != told:
        expected = fingerprint_text(told)
        raise UsageError(f"{path} has another key", who=who, expected=expected, got=fingerprint_text(found))
    return request
