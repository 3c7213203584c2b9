"""The intruder where modules work: what he can prove to module and central system, and what he says as a stolen module.

He has a module of the same bank that works (SN-2, stolen), everything that is public, certificates of another maker's
with all the right names, and a host that another customer of the same manufacturer certified.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from ..protocol.engine import Fault, given
from ..protocol.messages import (
    Authorize,
    Beat,
    Declined,
    GenerateKeyPair,
    Greeting,
    KeyLoaded,
    KeyPolicy,
    Message,
    Outcome,
    Payload,
    Received,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    TrustOption,
    Welcome,
)
from ..shell.module import Module
from .channel import CheckedSession
from .intruder import Intruder, Sayings, issued
from .memory import fresh_pair
from .world import NOW, RIVAL, Beginning, Loot, Store, now

_CARD: Final = "4000001234567899"
_ACCOUNT: Final = "DE02120300000000202051"


class IntruderAtWork(Intruder):
    """What he can do in such a world.

    Args:
        start: how the module came to work.
        module: its store, of which he has seen the certificates.
        stolen: the certificate of SN-2, for the key in `fresh_pair("stolen at work")`.

    """

    def __init__(self, start: Beginning, module: Store, stolen: bytes) -> None:
        super().__init__(start, TrustOption.CERTIFICATES, frozenset())
        record = Module(module.vault.fork(), now=now).record
        own, thief = self.own, fresh_pair("stolen at work")
        host = fresh_pair("host of the intruder")
        twin = issued(start.foreign, "foreign", own.key.public)
        self._fingerprints = sha256(stolen).digest(), given(record.fingerprint)
        self.loot = [
            own,
            Loot("the stolen SN-2, which works", *thief, certificates=(stolen,)),
            Loot("the certificate of SN-1 without its key", own.vault, own.key, (given(record.module),)),
            Loot("a certificate of SN-1 by another maker", own.vault, own.key, (twin,)),
            Loot("the certificate of the central system without its key", own.vault, own.key, pinned=record.central),
            Loot("a host of another customer", *host, pinned=start.central[RIVAL]),
        ]

    def sayings(self, victim: CheckedSession, known: frozenset[Message]) -> Sayings:
        """What he may say to this session, with a word on how he made it."""
        yield "what has no place here", GenerateKeyPair(bytes(16), bytes(32), KeyPolicy.NEW, NOW)
        accepted = set(victim.accepted)
        for text, message in self._made():
            if type(message) in accepted:
                yield text, message

    def _made(self) -> Iterator[tuple[str, Message]]:
        stolen, genuine = self._fingerprints
        yield "of the stolen module", Greeting(0, stolen, 1000, 0)
        yield "with the fingerprint of SN-1", Greeting(0, genuine, 1000, 0)
        yield "of his own", Authorize(1, _CARD, _ACCOUNT, 1, "EUR")
        yield "of his own", Payload(2, b"a lie")
        yield "about what was never instructed", Outcome(3, 1, 1_000_000)
        yield "of his own", Beat(2000)
        yield "untruly", Received(1)
        yield "untruly", KeyLoaded(1, "KCV(CMAC)=0000000000")
        yield "untruly", Declined(1, Fault.UNSUPPORTED)
        yield "of his own", ResetChallenge(0, bytes(32))
        yield "untruly", ResetDone(1)
        yield "as if he were the central system", Welcome(NOW, 0)
        yield "without a signature", ResetCommand(bytes(64))
