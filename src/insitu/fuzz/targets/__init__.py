"""The targets, by what they take apart. Importing this declares them all."""

from __future__ import annotations

from . import calls, codec, framing, handshake, keys, mobile, parties, records, serial, stores

__all__ = ["calls", "codec", "framing", "handshake", "keys", "mobile", "parties", "records", "serial", "stores"]
