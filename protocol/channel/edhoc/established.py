"""What a handshake ends in: the session with its exporter and key update, or the failure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ...engine import InsituError, UsageError
from ..cose import octets
from .credentials import Credential, IdCred
from .ead import Ead
from .schedule import Label, kdf
from .stages import WHO, Stage, stage
from .suites import Method, Suite

MAX_EXPORTER_LABEL: Final = 0xFFFF
"""RFC 9528 section 10.1; labels from 32768 on are for private use."""


class Side(Enum):
    """Who sent message_1."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


@dataclass(frozen=True, slots=True)
class Facts:
    """What both sides of a completed handshake agree on; nothing secret.

    Attributes:
        side: which of them this is.
        method, suite: as run.
        c_i, c_r: connection identifiers.
        own, peer: the two credentials; that the peer holds the key of its own is proved.
        peer_id: ID_CRED as the peer sent it (chain, hash, identifier).
        ead_1, ead_2, ead_3, ead_4: EAD items, without padding where they were received.
        th_4: the hash of the transcript up to message_3 with both credentials.

    """

    side: Side
    method: Method
    suite: Suite
    c_i: bytes
    c_r: bytes
    own: Credential
    peer: Credential
    peer_id: IdCred
    ead_1: tuple[Ead, ...]
    ead_2: tuple[Ead, ...]
    ead_3: tuple[Ead, ...]
    ead_4: tuple[Ead, ...]
    th_4: bytes


@stage
class ChannelKeys(Stage):
    """The keys of a completed handshake (RFC 9528 section 4.2, appendix H), without what else is known of it.

    Attributes:
        suite: as agreed on.
        updates: how often the keys were updated.

    """

    suite: Suite
    updates: int
    _prk_out: bytes
    _prk_exporter: bytes

    def exporter(self, label: int, context: bytes, length: int) -> bytes:
        """EDHOC_Exporter: `length` bytes for the purpose that `label` and `context` name, equal on both sides.

        Raises:
            UsageError: a label or length out of range, or keys that were updated meanwhile.

        """
        if self.spent:
            raise UsageError("exporter of keys that were updated", who=WHO, expected="the session after the update")
        if not 0 <= label <= MAX_EXPORTER_LABEL:
            raise UsageError("exporter label", who=WHO, expected=f"0 to {MAX_EXPORTER_LABEL}", got=label)
        longest = 255 * self.suite.hash.size
        if not 0 < length <= longest:
            raise UsageError("exporter length", who=WHO, expected=f"1 to {longest} bytes", got=length)
        return kdf(self.suite, self._prk_exporter, label, octets(context), length)

    def key_update(self, context: bytes) -> ChannelKeys:
        """EDHOC_KeyUpdate: the next keys; these are forgotten.

        Args:
            context: the same on both sides, for example a counter.

        Raises:
            UsageError: the keys were updated before.

        """
        self.take(ChannelKeys)
        prk_out = kdf(self.suite, self._prk_out, Label.KEY_UPDATE, octets(context), self.suite.hash.size)
        for name in ("_prk_out", "_prk_exporter"):
            object.__setattr__(self, name, b"")
        return _keys(self.suite, prk_out, self.updates + 1)


@stage
class Established(Stage):
    """A completed handshake: made by `establish` and by `key_update`.

    Attributes:
        facts: what was agreed on.
        keys: of the channel, which goes on without the facts.

    """

    facts: Facts
    keys: ChannelKeys

    @property
    def updates(self) -> int:
        """How often the keys were updated."""
        return self.keys.updates

    def exporter(self, label: int, context: bytes, length: int) -> bytes:
        """EDHOC_Exporter: see ChannelKeys."""
        return self.keys.exporter(label, context, length)

    def key_update(self, context: bytes) -> Established:
        """EDHOC_KeyUpdate: see ChannelKeys."""
        self.take(Established)
        return Established(self.facts, self.keys.key_update(context))


def establish(facts: Facts, prk_out: bytes) -> Established:
    """The session whose key is PRK_out."""
    return Established(facts, _keys(facts.suite, prk_out, 0))


def _keys(suite: Suite, prk_out: bytes, updates: int) -> ChannelKeys:
    return ChannelKeys(suite, updates, prk_out, kdf(suite, prk_out, Label.PRK_EXPORTER, octets(b""), suite.hash.size))


class Failed(Stage):
    """A handshake that ended without a session.

    Attributes:
        error: why, for this side; the other one was told less.

    """

    __slots__ = ("error",)

    def __init__(self, error: InsituError) -> None:
        self.error = error
