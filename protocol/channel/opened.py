"""What a party learns when its channel stands: who is at the other end, for what, and the value that binds proofs."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..engine import PublicKey
from ..keys.certificates import Role, VerifiedCertificate
from ..messages import Intent, TrustOption


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a channel, as the trust option established it.

    Attributes:
        name: serial number or name; only as good as `role` says.
        role: the role its certificate proves; None: it proved nothing but the possession of a fresh key.
        public: the key that it used in the handshake.
        chain: the certificates that were verified for it, end entity first; empty without a role.
        proved: the trust option whose proof in the channel vouches for the name; None where there was none.
        wired: the trust option admits a cable only, and this is one (A1).

    """

    name: str
    role: Role | None
    public: PublicKey
    chain: tuple[VerifiedCertificate, ...] = ()
    proved: TrustOption | None = None
    wired: bool = False

    @property
    def is_known(self) -> bool:
        """Whether a certificate or a proof vouches for the name; else a person has to (A1)."""
        return self.role is not None or self.proved is not None


@dataclass(frozen=True, slots=True)
class ChannelOpened:
    """The handshake is complete on this side; from here on every message is a protected record.

    Attributes:
        peer: who is at the other end.
        intent: version, purpose and trust option, as bound into the transcript by EAD_1.
        binding: exporter value of 32 bytes, equal on both sides of this channel and of no other.
        at: unix seconds.
        wrapping: 32 bytes from the exporter, key block protection key of this channel; empty where no symmetric key
            can cross it.
        presented: the certificates that this side showed in the handshake, DER; they do not cross again.

    """

    peer: Peer
    intent: Intent
    binding: bytes = field(repr=False)
    at: int
    wrapping: bytes = field(default=b"", repr=False)
    presented: tuple[bytes, ...] = field(default=(), repr=False)
