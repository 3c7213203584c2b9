"""The targets, by what they take apart. Importing this declares them all; some need an extra of the product."""

from __future__ import annotations

from importlib.util import find_spec

from . import calls, codec, framing, handshake, keys, lists, logs, mobile, parties, records, serial, stores, tls_ends

if find_spec("pkcs11") is not None:
    from . import token_answers as token_answers
    from . import tokens as tokens
if find_spec("sqlalchemy") is not None and find_spec("alembic") is not None:
    from . import registry as registry
    from . import registry_calls as registry_calls

__all__ = [
    "calls",
    "codec",
    "framing",
    "handshake",
    "keys",
    "lists",
    "logs",
    "mobile",
    "parties",
    "records",
    "serial",
    "stores",
    "tls_ends",
]
