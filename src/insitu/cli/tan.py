"""insitu tan: a unit's book of one-off numbers: init, issue, print, seal, revoke, status, unlock."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from ..protocol.keys.codes import write_symbols
from ..protocol.keys.profile import checked_name, time_text
from ..protocol.keys.tans import LENGTHS, TanAlphabet, TanForm, alphabet_of
from ..protocol.stores.sealed import StoreKind
from ..shell.book import Book
from ..shell.keeping import wall_clock
from ..shell.passphrase import passphrase
from ..shell.places import Place
from ..shell.sheets import write_tan_sheet
from .common import (
    PATH,
    Group,
    create_store,
    emit,
    open_book,
    open_or_create_store,
    say,
    store_options,
)

DAY: Final = 24 * 3600
WRITTEN_NOWHERE: Final = "key"


@click.group(cls=Group)
def tan() -> None:
    """One-off numbers that let exactly one module be personalized, each once."""


SERIAL: Final = click.option("--serial", required=True, help="The module's serial number.")


def _book(store: Path, file: Path | None, hook: str | None) -> Book:
    return open_book(store, file, hook)


@tan.command()
@store_options(token=False)
def init(store: Path, passphrase_file: Path | None, passphrase_hook: str | None) -> None:
    """Make an empty book: the unit's TANs and its counts of wrong attempts."""
    with create_store(store, StoreKind.UNIT, passphrase_file, passphrase_hook):
        say(f"{store} is there")


@tan.command()
@store_options(token=False)
@SERIAL
@click.option("--days", type=click.IntRange(1, 365), default=30, show_default=True, help="Its term.")
@click.option(
    "--form",
    type=click.Choice([*(each.value for each in TanAlphabet), WRITTEN_NOWHERE]),
    default=TanAlphabet.DECIMAL.value,
    show_default=True,
    help="What it is written in; hexadecimal for pads with A to F, base32 for keyboards. A key is written nowhere: "
    "it goes into a token (insitu tan seal), and never leaves it.",
)
@click.option(
    "--length",
    type=click.Choice([str(length) for length in LENGTHS]),
    default="16",
    show_default=True,
    help="Symbols, without the check symbol.",
)
@click.option("--no-identity", is_flag=True, help="The module has no identity: anybody may burn its TAN.")
def issue(
    store: Path,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    serial: str,
    days: int,
    form: str,
    length: str,
    no_identity: bool,
) -> None:
    """Draw a TAN for a module. Nobody sees it before it is printed."""
    shape = None if form == WRITTEN_NOWHERE else TanForm(TanAlphabet(form), int(length))
    book = _book(store, passphrase_file, passphrase_hook)
    issued = book.issue(checked_name(serial), shape, not_after=wall_clock() + days * DAY, identified=not no_identity)
    say(f"TAN for {serial} until {time_text(issued.not_after)}")


@tan.command("print")
@store_options(token=False)
@SERIAL
@click.option("--out", type=PATH, required=True, help="Where to write the sheet (HTML), which must not exist yet.")
def print_(store: Path, passphrase_file: Path | None, passphrase_hook: str | None, serial: str, out: Path) -> None:
    """Write the sheet for the security envelope, once, for its owner only; print it and delete it."""
    book = _book(store, passphrase_file, passphrase_hook)

    def content() -> tuple[str, str]:
        value = book.take_to_print(serial)
        until = next(each.not_after for each in book.record().tans if each.serial == serial)
        return write_symbols(value, alphabet_of(value).alphabet), time_text(until)

    write_tan_sheet(out, serial, content)
    say(f"sheet for {serial} in {out}")


@tan.command()
@store_options(token=False)
@SERIAL
@store_options("token", prefix="token-")
def seal(
    store: Path,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    serial: str,
    token: Place,
    token_passphrase_file: Path | None,
    token_passphrase_hook: str | None,
) -> None:
    """Put the TAN into an operator's token instead of printing it, once.

    The token is a file sealed with a passphrase, made if it is not there, or a token by PKCS#11, which the TAN does not
    leave then; `insitu module run --token` uses it. Tell the operator passphrase or PIN on another way than it goes.
    """
    book, opening = _book(store, passphrase_file, passphrase_hook), (token_passphrase_file, token_passphrase_hook)
    book.check_to_give(serial)
    with open_or_create_store(token, StoreKind.TOKEN, *opening) as vault:
        book.take_to_seal(serial, vault)
    say(f"TAN for {serial} in {token}")


@tan.command()
@store_options(token=False)
@SERIAL
@click.option("--secret-file", type=PATH, help="The secret that the module was told: a file of mode 0600 or 0400.")
def secret(
    store: Path, passphrase_file: Path | None, passphrase_hook: str | None, serial: str, secret_file: Path | None
) -> None:
    """Keep the secret that a module was told, for a unit that listens (insitu unit serve --trust secret)."""
    book = _book(store, passphrase_file, passphrase_hook)
    told = passphrase(file=secret_file, prompt=f"Secret of {serial}: ", new=True)
    book.agree(checked_name(serial), told.reveal())
    say(f"the secret of {serial} is in {store}")


@tan.command()
@store_options(token=False)
@SERIAL
def revoke(store: Path, passphrase_file: Path | None, passphrase_hook: str | None, serial: str) -> None:
    """Make the TAN of a module worthless."""
    _book(store, passphrase_file, passphrase_hook).revoke(serial)
    say(f"the TAN for {serial} is worthless")


@tan.command()
@store_options(token=False)
@SERIAL
def unlock(store: Path, passphrase_file: Path | None, passphrase_hook: str | None, serial: str) -> None:
    """Let attempts for a module go on after five wrong ones."""
    wrong = _book(store, passphrase_file, passphrase_hook).unlock(serial)
    say(f"{serial} is unlocked, {wrong} wrong attempts are forgotten")


@tan.command()
@store_options(token=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def status(store: Path, passphrase_file: Path | None, passphrase_hook: str | None, as_json: bool) -> None:
    """Which modules have a TAN, and where attempts were wrong. No TAN is shown."""
    record = _book(store, passphrase_file, passphrase_hook).record()
    for tan in record.tans:
        until, what = time_text(tan.not_after), "TAN for a token" if tan.key else "TAN"
        facts: dict[str, object] = {"serial": tan.serial, "until": until, "printed": tan.printed}
        emit(as_json, facts, f"{tan.serial}: {what} until {until}, {'' if tan.printed else 'not '}given out")
    for tally in record.tallies:
        text = f"{tally.serial}: {tally.wrong} wrong attempts{', locked' if tally.wrong == 5 else ''}"
        emit(as_json, {"serial": tally.serial, "wrong": tally.wrong}, text)
