"""A mobile calls the unit over a channel of ours (A9), where its key lies in a card or a key store that TLS cannot use.

People tell each side the other's key beforehand, over another path than the link: SHA-256 of its SubjectPublicKeyInfo.
Nothing else is trusted, so that there is nothing to expire; a mobile that is stolen is struck off the unit's list.
Also here: by which names the unit knows mobiles, whatever link they call over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from ...engine import KeyHandle, KeyKind, ProtocolError, PublicKey
from ...keys.certificates import fingerprint_text, key_digest
from ...messages import TrustOption
from ..edhoc.credentials import Credential, IdCred
from ..edhoc.suites import Method
from ..opened import ChannelOpened, Peer
from .stage import ProofStage
from .terms import anybody, fresh_credential

# Names of mobiles --------------------------------------------------------------------------------------------


def by_key(public: PublicKey) -> str:
    """A mobile that proved this key."""
    return f"key {key_digest(public).hex()}"


def by_certificate(der: bytes) -> str:
    """A mobile that proved the key of this certificate."""
    return f"certificate {sha256(der).hexdigest()}"


def by_caller(number: str) -> str:
    """A mobile of which the network says that it calls from this number."""
    return f"caller {number}"


# Terms -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MobileCalling:
    """The mobile's side.

    Attributes:
        unit: SHA-256 of the SubjectPublicKeyInfo of the unit's authentication key, 32 bytes, as people were told.

    """

    unit: bytes
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.CONVEYED
    method: int = Method.SIGNATURES

    @classmethod
    def of(cls, name: str, key: KeyHandle, unit: bytes) -> MobileCalling:
        """The terms of the mobile called `name`, with the pair `key`."""
        return cls(unit, fresh_credential(name, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """The unit whose key has the fingerprint.

        Raises:
            ProtocolError: another key.

        """
        return _known(claim, lambda digest: digest == self.unit, who="mobile", expected=fingerprint_text(self.unit))

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides."""
        return None


@dataclass(frozen=True, slots=True)
class UnitCalled:
    """The unit's side.

    Attributes:
        mobiles: those that may convey, by their names.

    """

    mobiles: frozenset[str]
    own: Credential = field(repr=False)
    key: KeyHandle
    option: TrustOption = TrustOption.CONVEYED
    method: int = Method.SIGNATURES

    @classmethod
    def of(cls, name: str, key: KeyHandle, mobiles: frozenset[str]) -> UnitCalled:
        """The terms of the unit called `name`, whose authentication key is `key`."""
        return cls(mobiles, fresh_credential(name, key), key)

    def judge(self, claim: IdCred, at: int) -> tuple[Credential, Peer]:
        """A mobile that the unit was told of.

        Raises:
            ProtocolError: another one.

        """
        expected = "one that this unit was told of"
        return _known(claim, lambda digest: f"key {digest.hex()}" in self.mobiles, who="unit", expected=expected)

    def stage(self, opened: ChannelOpened) -> ProofStage | None:
        """Nothing besides."""
        return None


def _known(claim: IdCred, is_known: Callable[[bytes], bool], *, who: str, expected: str) -> tuple[Credential, Peer]:
    credential, peer = anybody(claim)
    digest = key_digest(peer.public) if peer.public.kind is KeyKind.P256 else b""
    if not is_known(digest):
        got = fingerprint_text(digest) if digest else "another kind of key"
        raise ProtocolError("key at the other end of a mobile's call", who=who, expected=expected, got=got)
    return credential, peer
