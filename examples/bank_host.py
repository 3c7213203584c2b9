r"""A small bank host: accounts, limits and bookings of its own, with insitu's central system as a library.

    python bank_host.py --store central.insitu --passphrase-file central.pass --listen tcp:127.0.0.1:4712 \
        --accounts bank.db --open DE02120300000000202051=100000 --limit 20000

The central system knows modules, channels and transactions; the bank knows money. They meet in `Bank.decide`, which
reserves an amount, and in `Bank.reconcile`, which reads from the registry what became of it: booked as the customer
got it, or given back. An authorization whose outcome does not come in time is reversed; if it comes after all, it is
booked, even if that overdraws the account.

Amounts are minor units. What happens is one JSON object a line on standard output.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import trio

from insitu import Authorize, Central, InsituError, PayOut
from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.stores.registry import Registry
from insitu.protocol.stores.sealed import StoreKind
from insitu.registry import open_registry
from insitu.shell.central_program import CentralProgram
from insitu.shell.passphrase import passphrase
from insitu.transports.errors import TransportError
from insitu.transports.links import Address

LOOK_SECONDS = 0.5
"""How often the bank looks what became of its reservations."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (iban TEXT PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS reservation (
    serial TEXT, number INTEGER, iban TEXT NOT NULL, amount INTEGER NOT NULL, since INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'booked', 'released', 'reversed')), paid INTEGER,
    PRIMARY KEY (serial, number));
CREATE TABLE IF NOT EXISTS seen (delivery INTEGER NOT NULL);
"""


def say(event: str, **facts: object) -> None:
    """One line of what happens. No card number is ever among it."""
    print(json.dumps({"event": event, **facts}), flush=True)


class Bank:
    """Accounts in a file. Calls may come from any thread."""

    def __init__(self, path: Path, *, limit: int, reverse_after: float) -> None:
        self._path = path
        self._limit = limit
        self._reverse_after = reverse_after
        with self._writing() as db:
            for statement in SCHEMA.split(";"):
                db.execute(statement)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, durable at the end of the block."""
        with closing(sqlite3.connect(self._path, timeout=10, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")

    def open_account(self, iban: str, balance: int) -> None:
        """Open an account; one that is there stays as it is."""
        with self._writing() as db:
            db.execute("INSERT INTO account VALUES (?, ?) ON CONFLICT DO NOTHING", (iban, balance))

    def balance(self, iban: str) -> int | None:
        """What is on an account, without what is reserved; None where there is none."""
        with self._writing() as db:
            row = db.execute("SELECT balance FROM account WHERE iban = ?", (iban,)).fetchone()
        return None if row is None else int(row[0])

    def decide(self, serial: str, asked: Authorize) -> PayOut:
        """The host's decision. It is asked once for each number, and reserves the money before it says yes."""
        refused = PayOut(number=asked.number, approved=False, amount=0, reference="")
        if not 0 < asked.amount <= self._limit or asked.currency != "EUR":
            return refused
        with self._writing() as db:
            taken = db.execute(
                "UPDATE account SET balance = balance - ?1 WHERE iban = ?2 AND balance >= ?1",
                (asked.amount, asked.account),
            )
            if taken.rowcount != 1:
                return refused
            db.execute(
                "INSERT INTO reservation VALUES (?, ?, ?, ?, ?, 'open', NULL)",
                (serial, asked.number, asked.account, asked.amount, int(time.time())),
            )
        return PayOut(number=asked.number, approved=True, amount=asked.amount, reference=f"{serial}/{asked.number}")

    def reconcile(self, registry: Registry) -> None:
        """Take from the registry what became of the reservations, and what payloads came.

        Raises:
            RegistryAway: it does not answer; nothing is lost, the next look does it.

        """
        with self._writing() as db:
            rows = db.execute(
                "SELECT serial, number, amount, since, state FROM reservation WHERE state IN ('open', 'reversed')"
            ).fetchall()
        for serial, number, amount, since, state in rows:
            known = registry.transaction(serial, number)
            if known is not None and known.paid is not None:
                self._book(serial, number, amount, known.paid, late=state == "reversed")
            elif state == "open" and known is not None and known.approved is False:
                self._end(serial, number, amount, "released")  # our yes was lost in a crash: the module was told no
            elif state == "open" and time.time() - since > self._reverse_after:
                self._end(serial, number, amount, "reversed")
        self._read_payloads(registry)

    def _read_payloads(self, registry: Registry) -> None:
        with self._writing() as db:
            (seen,) = db.execute("SELECT max(delivery) FROM seen").fetchone()
            for delivery in registry.deliveries(after=seen or 0):
                db.execute("INSERT INTO seen VALUES (?)", (delivery.id,))
                say("payload", serial=delivery.serial, content=delivery.payload.decode(errors="replace"))

    def _book(self, serial: str, number: int, amount: int, paid: int, *, late: bool) -> None:
        """The customer got `paid`: what was reserved beyond it goes back."""
        back = -paid if late else amount - paid
        with self._writing() as db:
            where = (serial, number)
            db.execute(
                "UPDATE account SET balance = balance + ? "
                "WHERE iban = (SELECT iban FROM reservation WHERE serial = ? AND number = ?)",
                (back, *where),
            )
            db.execute(
                "UPDATE reservation SET state = 'booked', paid = ? WHERE serial = ? AND number = ?", (paid, *where)
            )
        say("booked", serial=serial, number=number, paid=paid, late=late)

    def _end(self, serial: str, number: int, amount: int, state: str) -> None:
        """All of it goes back."""
        with self._writing() as db:
            db.execute(
                "UPDATE account SET balance = balance + ? "
                "WHERE iban = (SELECT iban FROM reservation WHERE serial = ? AND number = ?)",
                (amount, serial, number),
            )
            db.execute("UPDATE reservation SET state = ? WHERE serial = ? AND number = ?", (state, serial, number))
        say(state, serial=serial, number=number, amount=amount)


async def serve(central: Central, bank: Bank, address: Address) -> None:
    """Work with the modules that connect, and keep the books, until SIGTERM or Ctrl-C."""
    program = CentralProgram(central, address, tell=lambda line: say("error", error=line))

    async def keep_books() -> None:
        while True:
            try:
                await trio.to_thread.run_sync(bank.reconcile, central.registry)
            except InsituError as error:
                say("error", error=str(error))
            await trio.sleep(LOOK_SECONDS)

    async def watch_signals(nursery: trio.Nursery) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_signals, nursery)
        nursery.start_soon(keep_books)
        await program.run(ready=lambda at: say("ready", at=at))


def main() -> int:
    """Run it; an exit code as the commands have them."""
    parser = argparse.ArgumentParser(description="A small bank host.")
    parser.add_argument("--store", type=Path, required=True, help="the central system's sealed file")
    parser.add_argument("--passphrase-file", type=Path, required=True)
    parser.add_argument("--listen", required=True, help="tcp:HOST:PORT")
    parser.add_argument("--accounts", type=Path, required=True, help="SQLite file, made if it is not there")
    parser.add_argument("--open", action="append", default=[], metavar="IBAN=BALANCE", help="open an account")
    parser.add_argument("--limit", type=int, default=0, help="highest amount of one withdrawal")
    parser.add_argument("--reverse-after", type=float, default=300.0, help="seconds without an outcome")
    options = parser.parse_args()
    bank = Bank(options.accounts, limit=options.limit, reverse_after=options.reverse_after)
    for account in options.open:
        iban, _, balance = account.partition("=")
        bank.open_account(iban, int(balance))
    try:
        secret = passphrase(file=options.passphrase_file)
        with (
            SealedVault.open(options.store, StoreKind.CENTRAL, secret, entropy=secrets.token_bytes) as vault,
            closing(open_registry(f"{options.store}.db")) as registry,
        ):
            central = Central(vault, registry, decide=bank.decide)
            vault.detach()  # the operator's commands may open the file meanwhile
            trio.run(serve, central, bank, Address.parse(options.listen))
    except (InsituError, TransportError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
