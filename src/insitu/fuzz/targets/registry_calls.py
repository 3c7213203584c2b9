"""The registry's own calls, in a database and in memory at once (needs the extra central).

What is asked comes from sessions with modules and from operators, so that the values are of the types of the port and
otherwise whatever somebody wanted; text has no NUL, which no name and no database has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from weakref import finalize

from sqlalchemy import NullPool, create_engine, text

from ...protocol.engine import StateError
from ...protocol.messages import encode
from ...protocol.messages.codec import DecodeError, decode
from ...protocol.stores.card_logs import LogDoubt
from ...protocol.stores.memory_registry import MemoryRegistry
from ...protocol.stores.registry import (
    Change,
    CommandKind,
    CommandState,
    Crl,
    Delivery,
    Issuer,
    ModuleEntry,
    Registry,
    Standing,
    Transaction,
    check_chain,
)
from ...registry.opening import open_registry
from ...registry.schema import METADATA
from ..mutation import cut, joined
from ..scratch import scratch
from ..target import Shape, check, target

MOST: Final = 16
"""Calls of one input."""
LARGEST: Final = (1 << 63) - 1
"""Of numbers and times: what messages carry, and databases hold."""
LONGEST: Final = 32
"""Characters of a text: what all columns hold."""
CERTIFICATE_NUMBERS: Final = 1 << 127


_TRIGGERS: Final = text("SELECT 'DROP TRIGGER ' || name FROM sqlite_master WHERE type = 'trigger'")


class Values:
    """What an input says, taken one by one as what a call wants; of little, so that calls are about the same things."""

    def __init__(self, items: tuple[object, ...]) -> None:
        self._items = list(items)

    def _next(self) -> object:
        return self._items.pop(0) if self._items else 0

    def number(self, most: int = LARGEST) -> int:
        """A whole number, from 0."""
        item = self._next()
        return abs(item) % (most + 1) if type(item) is int else len(str(item))

    def text(self) -> str:
        """Text."""
        item = self._next()
        return (item if isinstance(item, str) else f"SN-{item}")[:LONGEST].replace("\0", "")

    def digest(self) -> bytes:
        """32 bytes, of which there are few."""
        return bytes((self.number() % 3,)) * 32

    def content(self) -> bytes:
        """Bytes."""
        item = self._next()
        return item if isinstance(item, bytes) else str(item).encode()

    def one(self, *choices: Any) -> Any:  # noqa: ANN401 - one of the choices
        """One of these."""
        return choices[self.number() % len(choices)]


Call = Callable[[Registry], object]


def _change(said: Values, there: Registry) -> Change:
    """What a session writes, in the version that is there or another one."""
    serial = said.text()
    known = there.module(serial)
    entry = ModuleEntry(
        serial=serial,
        owner=said.text(),
        issuer=said.digest(),
        epoch=said.number(),
        fingerprint=said.digest(),
        certificate_number=said.number(CERTIFICATE_NUMBERS),
        issued=said.number(),
        first_seen=said.number(),
        standing=said.one(*Standing),
        last_contact=said.number(),
        version=said.one(0 if known is None else known.version, said.number()),
    )
    card, account, amount, currency, at = (
        said.text()[-4:],
        said.text()[-4:],
        said.number(),
        said.text()[:3],
        said.number(),
    )
    money = Transaction(serial, said.number(), 0, card, account, amount, currency, at)
    commands = [each.number for each in there.commands(serial)]
    ended = (said.one(*commands), said.one(*CommandState), said.text()) if commands else None
    return Change(
        entry,
        transaction=said.one(None, money),
        delivery=said.one(None, Delivery(serial, said.number(), said.content(), said.number())),
        concluded=said.one(None, ended),
        note=said.one(None, (said.text(), said.text())),
    )


def _call(said: Values, there: Registry) -> tuple[str, Call]:
    """A call that writes, and its name."""
    who: dict[str, Any] = {"actor": said.text(), "at": said.number()}
    match said.number() % 9:
        case 0:
            change, at = _change(said, there), who["at"]
            return "commit", lambda registry: registry.commit(change, at=at)
        case 1:
            name, number = said.digest(), said.number(CERTIFICATE_NUMBERS)
            issuer = Issuer(name, said.content(), said.text(), number, said.digest(), bytes(64))
            return "trust", lambda registry: registry.trust(issuer, **who)
        case 2:
            about = {**who, "lost": said.number(), "keep_known": said.one(False, True)}
            name = said.digest()
            return "disable_issuer", lambda registry: registry.disable_issuer(name, **about)
        case 3:
            serial, reason = said.text(), said.text()
            return "disable_module", lambda registry: registry.disable_module(serial, reason=reason, **who)
        case 4:
            serial = said.text()
            return "enable_module", lambda registry: registry.enable_module(serial, **who)
        case 5:
            serial = said.text()
            return "order_reset", lambda registry: registry.order_reset(serial, **who)
        case 6:
            serial, kind, content = said.text(), said.one(*CommandKind), said.content()
            return "put_command", lambda registry: registry.put_command(serial, kind, content, **who)
        case 7:
            revoked = frozenset(said.number(CERTIFICATE_NUMBERS) for _ in range(said.number(3)))
            crl = Crl(said.digest(), said.number(), said.content(), revoked, said.number())
            return "import_crl", lambda registry: registry.import_crl(crl, **who)
    doubt = LogDoubt(said.digest(), said.text())
    return "doubt_log", lambda registry: registry.doubt_log(doubt, **who)


def _everything(registry: Registry, serials: list[str]) -> list[object]:
    """All that it says."""
    found: list[object] = [registry.issuers(), registry.modules(), registry.deliveries(), registry.crls()]
    found += [registry.attention(), registry.audit()]
    digests = [bytes((each,)) * 32 for each in range(3)]
    found += [registry.card_log(issuer) for issuer in digests]
    for serial in serials:
        found += [registry.transactions(serial), registry.commands(serial), registry.next_command(serial)]
        found += [registry.known(serial, digest, 1, digest) for digest in digests]
    check_chain(registry.audit())
    return found


def call_seeds() -> Iterator[bytes]:
    """Calls: who and when, which, and about what."""
    entered = ("host", 5, 0, "SN-1", "Bank", 1, 0, 2, 9, 10, 11, 0, 12, 0, 1, "1111", "", 500, "EUR", 20)
    module = encode((*entered, 1, 1, b"payload", 30))
    trusted = encode(("operator", 1, 1, 1, 77, b"certificate", "Bank", 2))
    lists = [encode(("operator", 8, 7, 2, 1, number, number, b"list", 99)) for number in (5, 9)]
    orders = [encode(("operator", 6 + which, which, "SN-1", which)) for which in (3, 4, 5, 6)]
    yield joined([trusted, module])
    yield joined([trusted, module, *orders, *orders])
    yield joined([*lists, *reversed(lists), trusted, encode(("operator", 9, 2, 1, 40, 1))])
    yield joined([module, orders[3], encode((*entered[:2], 0, "SN-1", "Bank", 2, 1, 1)), encode(("x", 3, 8, 1, "why"))])


@target("registry-calls", Shape.FRAMES, call_seeds, seconds=2.0)
class RegistryCalls:
    """A database says and refuses what the registry in memory does, and what was refused has left nothing.

    No call fails in another way, and a registry that is well is never said to be away or damaged.
    """

    def __init__(self, url: str = "") -> None:
        url = url or f"sqlite:///{scratch() / 'calls'}"
        self._registry = open_registry(url)
        finalize(self, self._registry.close)
        self._past_it = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
        with self._past_it.begin() as connection:  # what keeps the audit trail, which no other input is to see
            for statement in [] if url.startswith("postgresql") else connection.execute(_TRIGGERS).scalars().all():
                connection.execute(text(statement))

    def __call__(self, data: bytes) -> str:
        """One life of a registry."""
        self._empty()
        memory, database = MemoryRegistry(), self._registry
        ended = "nothing asked"
        serials: list[str] = []
        for frame in cut(data)[:MOST]:
            items = _items(frame)
            serials += [item for item in items if isinstance(item, str)][:4]
            name, call = _call(Values(items), memory)
            before = _everything(memory, [])
            said = [_answer(partial(call, registry)) for registry in (memory, database)]
            check(said[0] == said[1], f"{name}: the database says something else")
            refusal, _ = said[0]
            check(not refusal or _everything(memory, []) == before, f"{name}: what was refused left something")
            ended = f"{name} {refusal}"
        names = [each[:LONGEST].replace("\0", "") for each in serials]
        check(_everything(memory, names) == _everything(database, names), "they hold different things")
        return ended

    def _empty(self) -> None:
        with self._past_it.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL session_replication_role = replica"))  # no triggers
            for table in reversed(METADATA.sorted_tables):
                connection.execute(table.delete())


def _items(frame: bytes) -> tuple[object, ...]:
    try:
        found = decode(frame)
    except DecodeError:
        return ()
    return found if isinstance(found, tuple) else (found,)


def _answer(call: Callable[[], object]) -> tuple[str, object]:
    try:
        return "", call()
    except StateError as error:
        return type(error).__name__, None  # the words differ
