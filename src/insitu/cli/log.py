"""insitu log: a card's log, on the card or as an exported file: show, verify, export, reconstruct what was signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..protocol.engine import PublicKey, UsageError
from ..protocol.keys.certificates import VerifiedCertificate, fingerprint_text
from ..protocol.parties.log_reading import LIST, Made
from ..protocol.stores.log_lines import Export, export_lines, import_lines
from ..protocol.stores.sealed import StoreKind
from ..shell import logs, pem
from ..shell.card import Card
from ..shell.output import write_whole
from ..shell.places import Place
from .common import (
    PATH,
    Group,
    about,
    check_directory,
    check_place,
    emit,
    open_store,
    read_fingerprint,
    say,
    store_options,
)

F = TypeVar("F", bound=Callable[..., Any])

LARGEST_LOG: Final = 1 << 28
"""Bytes of an exported log that is read."""


@click.group(cls=Group)
def log() -> None:
    """The card's log: what it certified, and who agreed."""


def _source(command: F) -> F:
    """--store of a card, or --file with an exported log."""
    file = click.option("--file", "exported", type=PATH, help="An exported log, instead of the card's store.")
    return store_options(required=False)(file(command))


def _anchors(command: F) -> F:
    """With which certificates a reader begins who has an exported log only."""
    options = (
        click.option("--customer", type=PATH, help="The certificate of the card's signing key (PEM); with --file."),
        click.option("--root", type=PATH, help="The manufacturer's root certificate (PEM); with --file."),
        click.option("--central", type=PATH, help="The central system's certificate (PEM): its receipt must be there."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def _card(store: Place, passphrase_file: Path | None, passphrase_hook: str | None) -> Iterator[Card]:
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        yield Card(vault)


def _read(
    store: Place | None, file: Path | None, hook: str | None, exported: Path | None
) -> tuple[Export, VerifiedCertificate | None, PublicKey | None]:
    """The log; from a card also the certificate of its signing key and its authentication key."""
    if (store is None) == (exported is None):
        raise UsageError("which log", expected="--store of a card, or --file", got="both" if store else "neither")
    if store is not None:
        with _card(store, file, hook) as card:
            has_customer = card.record.customer is not None
            return card.log, card.customer if has_customer else None, card.authentication.public
    assert exported is not None  # noqa: S101 - one of the two
    return read_export(exported), None, None


def read_export(path: Path) -> Export:
    """An exported log, its chain verified.

    Raises:
        UsageError: it cannot be read.
        LogBroken: it is none.

    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_LOG + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}", got=error.strerror) from None
    if len(data) > LARGEST_LOG:
        raise UsageError(f"{path} is too large", expected=f"at most {LARGEST_LOG} bytes", got="more")
    return import_lines(data)


def _anchor(
    own: VerifiedCertificate | None, customer: Path | None, root: Path | None, central: Path | None
) -> VerifiedCertificate:
    """The certificate of the card's signing key: the card's own, or that of the files."""
    if own is not None:
        if customer is not None or root is not None:
            raise UsageError("--customer and --root", expected="with --file only", got="a card, which has its own")
        return own
    if customer is None:
        raise UsageError("whose log", expected="--customer, the certificate of the card's signing key", got="nothing")
    der = pem.read_certificate(customer)
    with about(customer):
        return logs.customer_certificate(
            der,
            None if root is None else pem.read_certificate(root),
            None if central is None else pem.read_certificate(central),
        )


@log.command()
@_source
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line: the entries, then how far they count.")
def show(
    store: Place | None,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    exported: Path | None,
    as_json: bool,
) -> None:
    """Show the entries, what was cut off, and how far they are signed and read."""
    export, _, _ = _read(store, passphrase_file, passphrase_hook, exported)
    if as_json:
        for entry in export.log:
            say(entry.line.decode("ascii"))
        say(json.dumps(logs.state_of(export), sort_keys=True))
        return
    for line in (*logs.told(export.log), *logs.state_told(export)):
        say(line)


@log.command()
@_source
@_anchors
@click.option("--earlier", type=PATH, multiple=True, help="Another export of this log, which it must begin with.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(
    store: Place | None,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    exported: Path | None,
    customer: Path | None,
    root: Path | None,
    central: Path | None,
    earlier: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Verify chain, rules, every certificate and list, the signed head, and what others have read.

    A tail that was cut off shows only against what somebody else has: --central asks for the receipt of the central
    system, --earlier compares with another export, best the one that the central system gives out (central card-log).
    """
    export, own, owner = _read(store, passphrase_file, passphrase_hook, exported)
    anchor = _anchor(own, customer, root, central)
    found = logs.verify(
        export,
        anchor,
        owner=owner,
        central=None if central is None else pem.read_certificate(central),
        earlier=[read_export(each) for each in earlier],
    )
    read = None if found.receipt is None else found.receipt.entries
    facts: dict[str, object] = {
        "entries": found.entries,
        "certificates": found.certificates,
        "lists": found.lists,
        "open": found.open,
        "unsigned": found.unsigned,
        "signatures": 0 if found.head is None else found.head.signatures,
        "read": read,
    }
    lines = [f"{found.entries} entries hold: {found.certificates} certificates, {found.lists} lists, each verified"]
    if found.open:
        lines.append(f"without an outcome: {found.open} (insitu log show)")
    if found.unsigned:
        lines.append(f"not signed by the card yet: the last {found.unsigned}")
    lines.append("how far it was read was not asked for" if read is None else f"read: {read} of {found.entries}")
    emit(as_json, facts, "\n".join(lines))


@log.command()
@store_options()
@click.option("--out", type=PATH, required=True, help="Where to write the log (JSON Lines).")
def export(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, out: Path) -> None:
    """Export the log with its signed head and the receipt; its chain is verified first."""
    check_log_place(out)
    with _card(store, passphrase_file, passphrase_hook) as card:
        exported = card.signed_log()
    write_log(out, exported)
    say(f"{len(exported.log)} entries in {out}")


@log.command()
@_source
@_anchors
@click.argument("module", metavar="[SERIAL]", required=False)
@click.option("--unit", help="A certificate of the unit with this name.")
@click.option("--central-system", "host", help="A certificate of the central system with this name.")
@click.option("--list", "number", type=click.IntRange(1), help="The revocation list of this number.")
@click.option("--fingerprint", help="SHA-256 of the certificate that is meant; without it the latest.")
@click.option("--out", type=PATH, help="Where to write it (PEM); without it, on standard output.")
def reconstruct(
    store: Place | None,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    exported: Path | None,
    customer: Path | None,
    root: Path | None,
    central: Path | None,
    module: str | None,
    unit: str | None,
    host: str | None,
    number: int | None,
    fingerprint: str | None,
    out: Path | None,
) -> None:
    """Put a certificate or revocation list together again, byte for byte, from the log alone.

    With SERIAL, that of the module with this serial number; else what one of the options names.
    """
    named = {"module": module, "unit": unit, "central": host, LIST: None if number is None else str(number)}
    asked = [(role, subject) for role, subject in named.items() if subject is not None]
    if len(asked) != 1:
        raise UsageError(
            "what to reconstruct", expected="a serial number, --unit, --central-system or --list", got="not one"
        )
    if out is not None:
        check_place(out)
    meant = None if fingerprint is None else read_fingerprint(fingerprint)
    export, own, _ = _read(store, passphrase_file, passphrase_hook, exported)
    found = logs.find_made(export, _anchor(own, customer, root, central), *asked[0])
    made = _chosen(found, meant)
    if out is None:
        say(pem.text_of(made.der, crl=made.role == LIST).rstrip())
    else:
        (pem.write_crl if made.role == LIST else pem.write_certificate)(out, made.der)
    what = f"{made.role} {made.subject}, SHA-256 {fingerprint_text(made.fingerprint)}"
    say(f"{what}: {out or 'standard output'}; {len(found)} in the log", err=out is None)


def _chosen(found: tuple[Made, ...], fingerprint: bytes | None) -> Made:
    for made in reversed(found):
        if fingerprint in (None, made.fingerprint):
            return made
    raise UsageError("fingerprint", expected="one that the log names for it", got="another")


def write_log(path: Path, export: Export) -> None:
    """Write an exported log.

    Raises:
        EnvironmentFault: it cannot be written.

    """
    write_whole(path, export_lines(export))


def check_log_place(path: Path) -> None:
    """Make sure that a log goes to a new file, or replaces an earlier one.

    Raises:
        UsageError: there is no such directory, or a file of another kind.

    """
    check_directory(path)
    if path.is_file() and path.stat().st_size and not path.read_bytes()[:1] == b"{":
        raise UsageError(f"{path} is in use", expected="a new file, or a log to replace", got="another kind of file")
