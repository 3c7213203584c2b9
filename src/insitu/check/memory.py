"""Key memory and a registry that can be gone on with from the same place more than once, and entropy that repeats.

Real keys and real signatures of the product's software store; deterministic (RFC 6979), so that a step of a party gives
the same bytes in whichever order everything else happened.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import lru_cache
from hashlib import sha256, shake_256
from typing import Any, Final
from unittest.mock import patch

from ..protocol.engine import KeyHandle, KeyKind, PublicKey, SecretHandle, SecretOperation
from ..protocol.keys.exchange import begin_exchange
from ..protocol.keys.port import KeyStoreError
from ..protocol.keys.software import SoftwareKeyStore
from ..protocol.keys.vault import OwnVault
from ..protocol.messages import RECORD_LIMITS, CardRecord, decode_record
from ..protocol.parties import card_people
from ..protocol.parties.card_data import SIGNING
from ..protocol.parties.card_record import log_of
from ..protocol.stores.card_log import Intent, ListIntent
from ..protocol.stores.memory_registry import MemoryRegistry
from .values import canonical


class Repeated:
    """Entropy: the same bytes for the same name, one draw after the other.

    Attributes:
        name: whose draws these are.
        count: how many there were.

    """

    def __init__(self, name: str, count: int = 0) -> None:
        self.name = name
        self.count = count

    def __call__(self, size: int) -> bytes:
        """The next draw."""
        self.count += 1
        return shake_256(f"{self.name}/{self.count}".encode()).digest(size)


class _Exchange:
    """A password-authenticated exchange that may be ended more than once, each time from the same beginning."""

    def __init__(self, password: bytes, identities: tuple[bytes, bytes], name: str, *, begins: bool) -> None:
        self.about = password, identities, name, begins
        self.share = _finished(*self.about, None)

    def finish(self, share: bytes) -> bytes:
        """The key."""
        return _finished(*self.about, share)


def _about(exchange: object) -> tuple[object, ...]:
    return exchange.about if isinstance(exchange, _Exchange) else ()


@lru_cache(maxsize=4096)
def _finished(password: bytes, identities: tuple[bytes, bytes], name: str, begins: bool, share: bytes | None) -> bytes:
    exchange = begin_exchange(password, identities, Repeated(name), begins=begins)
    return exchange.share if share is None else exchange.finish(share)


_SIGNED: Final[dict[tuple[PublicKey, bytes], bytes]] = {}
"""Signatures by key and message: always the same."""


class CheckedKeys(SoftwareKeyStore):
    """The software key store, forked at will."""

    def __init__(self, name: str) -> None:
        self.drawn = Repeated(name)
        super().__init__(self._draw, repeatable=True)

    def _draw(self, size: int) -> bytes:
        return self.drawn(size)

    def fork(self) -> CheckedKeys:
        """The same once more, from here."""
        other = CheckedKeys(self.drawn.name)
        mine: dict[str, Any] = {
            "drawn": Repeated(self.drawn.name, self.drawn.count),
            "_pairs": dict(self._pairs),
            "_secrets": dict(self._secrets),
            "_exchanges": dict(self._exchanges),
        }
        vars(other).update(mine)
        return other

    def start_pake(self, label: str, password: SecretHandle, identities: tuple[bytes, bytes], *, begins: bool) -> bytes:
        """See KeyStore."""
        self.drawn.count += 1
        name = f"{self.drawn.name}/{self.drawn.count}"
        exchange: Any = _Exchange(self._meant(password).reveal(), identities, name, begins=begins)
        self._exchanges[label] = exchange
        return exchange.share  # type: ignore[no-any-return]

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore."""
        self._private(key)
        place = key.public, message
        if place not in _SIGNED:
            _SIGNED[place] = super().sign(key, message)
        return _SIGNED[place]

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        pairs = frozenset((label, public) for label, (public, _) in self._pairs.items())
        secrets = frozenset(
            (handle, sha256(self.secret_bytes_for_sealing(label)).digest())
            for label, (handle, _) in self._secrets.items()
        )
        waiting = frozenset((label, *_about(exchange)) for label, exchange in self._exchanges.items())
        return pairs, secrets, waiting, self.drawn.name, self.drawn.count


class PowerCut(Exception):
    """The power failed before something became durable."""


@contextmanager
def pins_remembered() -> Iterator[None]:
    """What is derived from a PIN, slowly and on purpose, is derived once for each card and person."""
    with patch.object(card_people, "pin_verifier", _verifier):
        yield


_verifier: Final = lru_cache(maxsize=64)(card_people.pin_verifier)


class Failing:
    """Key memory of which one operation fails, and no other: the one with this number, from 0."""

    def __init__(self, number: int) -> None:
        self._left = number

    def fails(self) -> bool:
        """Whether the next operation does."""
        self._left -= 1
        return self._left == -1


class CheckedVault(OwnVault):
    """A vault in memory, forked at will.

    Attributes:
        writes_left: after so many more writes the power fails; None: it does not.

    """

    writes_left: int | None = None

    failing: Failing | None = None
    """While its card is asked: how that goes wrong."""

    def __init__(self, name: str) -> None:
        super().__init__(CheckedKeys(name), None, frozenset())

    @property
    def _store(self) -> CheckedKeys:
        assert isinstance(self._keys, CheckedKeys)  # noqa: S101 - nothing else is put in
        return self._keys

    told = False
    """Something was told in answer to the question that is at the desk now."""
    amiss = ""
    """What a desk did that it must not (L7, L12)."""
    early = False
    """A customer's signing key signed what no entry in the card's durable log had announced (S6)."""

    def _check(self) -> None:
        if self.failing is not None and self.failing.fails():
            raise KeyStoreError("key memory is gone", who="keys")

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """See KeyStore."""
        self._check()
        return super().generate(label, kind, salt)

    def use(self, key: SecretHandle, operation: SecretOperation) -> bytes:
        """See KeyStore."""
        self._check()
        return super().use(key, operation)

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore."""
        self._check()
        if key.label == SIGNING and self._record is not None:
            log = log_of(decode_record(CardRecord, self._record, **RECORD_LIMITS))
            self.early |= not any(_announces(each.what, message) for each in log)
        return super().sign(key, message)

    def fork(self) -> CheckedVault:
        """The same once more, from here."""
        other = object.__new__(type(self))
        vars(other).update(vars(self) | {"_keys": self._store.fork()})
        return other

    def draw_as(self, name: str) -> None:
        """From now on the entropy is that of `name`, from its beginning."""
        self._store.drawn = Repeated(name)

    def restart(self) -> None:
        """What is not durable is gone."""
        self.writes_left = None
        self.roll_back()
        self.draw_as("rest")

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        return self._record, self._durable, self._store.identity

    def secrets(self) -> dict[str, bytes]:
        """Private halves and symmetric keys, for whoever looks for them where they must not be (S9)."""
        keys = self._store
        return {
            label: keys.private_bytes_for_sealing(label) if keys.find(label) else keys.secret_bytes_for_sealing(label)
            for label in keys.labels()
        }

    def _make_durable(self, record: bytes | None, keep: frozenset[str], *, erase: bool) -> None:
        """There is no medium; but who is told something before it is written may be told what is not so."""
        if self.writes_left is not None:
            if not self.writes_left:
                raise PowerCut
            self.writes_left -= 1
        if self.told:
            self.amiss = "a desk told what it only then wrote"


def _announces(what: object, message: bytes) -> bool:
    """Whether an entry of a card's log says that this is about to be signed."""
    if isinstance(what, ListIntent):
        return what.digest == sha256(message).digest()
    return isinstance(what, Intent) and what.to_be_signed == message


class CheckedRegistry(MemoryRegistry):
    """A central system's registry in memory, forked at will; of its audit trail, which only grows, it keeps nothing."""

    def fork(self) -> CheckedRegistry:
        """The same once more, from here."""
        other = CheckedRegistry()
        vars(other).update({name: copy(value) for name, value in vars(self).items() if name != "_lock"})
        other._log_entries = {issuer: list(entries) for issuer, entries in self._log_entries.items()}
        return other

    @property
    def identity(self) -> Hashable:
        """What makes it the same as another."""
        return canonical({name: value for name, value in vars(self).items() if name != "_lock"})

    def _enter(self, at: int, actor: str, action: str, subject: str, detail: str) -> None:
        """Nobody reads it here."""


def fresh_pair(name: str) -> tuple[CheckedVault, KeyHandle]:
    """A vault with one pair that depends on `name` alone."""
    vault = CheckedVault(name)
    return vault, vault.generate("own", KeyKind.P256, b"")
