"""What a broken or hostile PKCS#11 library answers, in the life of a vault (needs the extra pkcs11, but no token)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, cast

from pkcs11 import Attribute, KeyType, ObjectClass

from ...protocol.engine import EnvironmentFault, KeyHandle, KeyKind, Prove, PublicKey, StateError, UsageError
from ...protocol.keys.public import signature_holds
from ...protocol.keys.token_access import TokenAccess
from ...protocol.keys.token_vault import TokenVault
from ...protocol.messages.codec import encode
from ...protocol.stores.atomic import ErasureFailed, StoreUncertain
from ...protocol.stores.sealed import StoreKind
from ..items import Node, read_all
from ..played_token import Instead, PlayedToken
from ..scene import CopiedVault, Named
from ..target import Shape, check, outcome_of, target

KIND: Final = StoreKind.MODULE
CALLS: Final = 128
"""How many calls an input may say something of: about as many as the life below makes."""
MOST: Final = 8
"""Answers of one input."""
FIRST: Final = encode({0: 1, 1: bytes(200)})
SECOND: Final = encode({0: 2, 1: bytes(range(200))})
MESSAGE: Final = b"a message to be signed"
SHARED: Final = b"sixteen bytes ok"
DECLARED: Final = (StateError, UsageError, EnvironmentFault)


def _instead(node: Node) -> Instead:
    if node.major == 2:
        return Instead(raw=node.content if node.inner is None else b"".join(each.write() for each in node.inner))
    return Instead(error=node.value) if node.major == 0 else Instead(doubled=True)


def _said(data: bytes) -> dict[int, Instead]:
    """Whole numbers, and what is answered to the calls with these numbers, in turn."""
    items = (read_all(data) or [])[: 2 * MOST]
    return {at.value % CALLS: _instead(what) for at, what in zip(items[::2], items[1::2], strict=False)}


def answer_seeds() -> Iterator[bytes]:
    """Answers that come at some time or other: errors of both kinds, bytes, nothing, and an object too many."""
    yield b""
    for at in range(0, CALLS, 16):
        yield encode(at) + encode(at // 10) + encode(at + 7) + encode(b"\xff\xfe")
        yield encode(at + 13) + encode(b"") + encode(at + 21) + encode([])
    yield b"".join(encode(at) + encode(bytes(64)) for at in range(30, 38))


class _Life:
    """A vault's life: opened, a pair made, used and kept, a secret brought, a record changed, all of it destroyed."""

    def __init__(self, token: PlayedToken) -> None:
        self.vault = opened(token)
        self.told: list[tuple[PublicKey, bytes]] = []
        self.records: list[bytes | None] = [self.vault.record]

    def run(self) -> Iterator[Callable[[], object]]:
        """Step by step; what fails does not keep the next step from being tried, as after a refused session."""
        yield self._sign_with_new_pair
        yield lambda: self._commit(SECOND)
        yield lambda: self.vault.storage.share("brought", SHARED)
        yield self._prove
        yield self._agree
        yield lambda: self._commit(FIRST)
        yield lambda: self.vault.destroy("made")
        yield self.vault.roll_back
        yield self.vault.labels
        yield self.vault.close

    def _sign_with_new_pair(self) -> None:
        pair = self.vault.generate("made", KeyKind.P256, bytes(32))
        self._sign(pair)

    def _sign(self, pair: KeyHandle) -> None:
        self.told.append((pair.public, self.vault.sign(pair, MESSAGE)))

    def _commit(self, record: bytes) -> None:
        try:
            self.vault.commit(record, self.vault.labels())
        except (StoreUncertain, ErasureFailed):
            self.records.append(record)
            raise
        except DECLARED:
            raise
        self.records = [record]

    def _prove(self) -> None:
        found = self.vault.find_secret("brought")
        if found is not None:
            check(len(self.vault.use(found, Prove(MESSAGE))) == 32, "a proof of another length")

    def _agree(self) -> None:
        found = self.vault.find("made")
        if found is not None:
            self._sign(found)
            peer = CopiedVault("peer of the token").generate("peer", KeyKind.P256, b"").public
            check(len(self.vault.agree(found, peer)) == 32, "a secret of another length")


def _filled() -> PlayedToken:
    """A token with a vault that has a record and a pair, and with somebody else's key, whose label is no UTF-8."""
    token = PlayedToken(Named("token"))
    others = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.EC, Attribute.TOKEN: True}
    token.keep(others).raw[Attribute.LABEL] = "Schl\xfcssel".encode("latin-1")
    vault = TokenVault.begin(cast("TokenAccess", token), KIND, entropy=Named("vault begins"))
    vault.generate("identity", KeyKind.P256, b"")
    vault.commit(FIRST, vault.labels())
    return token


def opened(token: PlayedToken) -> TokenVault:
    """The vault in it."""
    return TokenVault.over(cast("TokenAccess", token), KIND, entropy=Named("vault"))


@target("token-answers", Shape.CBOR, answer_seeds, seconds=0.5)
def token_answers(data: bytes) -> str:
    """Whatever a token's library answers, no signature leaves that does not hold, and only declared errors do.

    Where it reported errors, be they true or not, what is opened afterwards is the last record or the one before it.
    """
    token = _filled()
    token.instead, token.calls = _said(data), 0
    outcomes: list[str] = []
    life: _Life | None = None
    try:
        life = _Life(token)
    except DECLARED as error:
        outcomes.append(outcome_of(error))
    for step in () if life is None else life.run():
        try:
            step()
        except DECLARED as error:
            check(SHARED.hex() not in repr(error) and repr(SHARED) not in repr(error), "a secret shows")
            outcomes.append(outcome_of(error))
    for public, signature in () if life is None else life.told:
        check(signature_holds(public, MESSAGE, signature), "a signature that does not hold was given out")
    if token.lied:
        return f"lied, {outcomes[0] if outcomes else 'nothing noticed'}"
    token.instead = {}
    record = opened(token).record
    check(record in ([FIRST] if life is None else life.records), "another record than was kept")
    return f"{len(outcomes)} refused, {outcomes[0] if outcomes else 'good end'}"
