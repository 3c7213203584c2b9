"""One side of a password-authenticated key exchange: SPAKE2 over Ed25519, as the library `spake2` has it (A6, A7).

The exchange is not confirmed: it gives both sides a key, the same one if they had the same password and identities, and
tells neither of them so. Its shares are made with fresh random scalars and say nothing of the password, so that who
only listens, or only sends, has nothing to try guesses on; each session is one guess for whoever takes part in it.
Proofs with the key have to follow (channel/trust/mutual.py).

The library is pure Python and takes tens of milliseconds a call, in a time that depends on what it computes: whoever
can measure that on this very machine, key memory does not keep the secret from.
"""

from __future__ import annotations

from typing import Any

from ..engine import ProtocolError, UsageError
from ..stores.secret import Entropy, Uncopied, draw


class Exchange(Uncopied):
    """One side, which has spoken and waits for the other's share. Made by `begin_exchange`.

    Attributes:
        share: what is for the other side, 32 bytes.

    """

    def __init__(self, side: Any, letter: bytes) -> None:  # noqa: ANN401 - the library has no types
        self._side = side
        self._letter = letter
        self.share: bytes = side.start()[1:]

    def __repr__(self) -> str:
        return "<Exchange>"

    def finish(self, share: bytes) -> bytes:
        """The key, 32 bytes. Once only.

        Args:
            share: of the other side.

        Raises:
            ProtocolError: it is no element of the group, or of low order, or our own come back.

        """
        from spake2 import SPAKEError
        from spake2.ed25519_basic import NotOnCurve

        try:
            return bytes(self._side.finish(self._letter + share))
        except (ValueError, NotOnCurve, SPAKEError):
            raise ProtocolError(
                "share of the other side", who="keys", expected="an element of the group, and not ours", got="another"
            ) from None


def begin_exchange(password: bytes, identities: tuple[bytes, bytes], entropy: Entropy, *, begins: bool) -> Exchange:
    """Speak: as side A if this side `begins`, else as side B.

    Args:
        password: what both sides share.
        identities: of A and B.
        entropy: gives the random scalar.
        begins: whether this is A.

    Raises:
        UsageError: the library is not installed.

    """
    try:
        from spake2 import SPAKE2_A, SPAKE2_B
    except ImportError as error:
        raise UsageError(
            "a shared secret needs the extra pake", who="keys", expected="insitu[pake] installed", got=error
        ) from None

    def source(size: int) -> bytes:
        return draw(entropy, size)

    kind, other = (SPAKE2_A, b"B") if begins else (SPAKE2_B, b"A")
    id_a, id_b = identities
    return Exchange(kind(password, idA=id_a, idB=id_b, entropy_f=source), other)
