"""What all commands share: passphrase options, stores, links, output, and how errors and signals become exit codes.

What the exit codes mean, `insitu --help` says; each class of error carries its own.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeGuard, TypeVar

import click

from ..protocol.engine import EnvironmentFault, InsituError, ProtocolError, UsageError
from ..protocol.keys.pkcs11_uri import is_uri
from ..protocol.keys.port import KeyMismatch
from ..protocol.keys.vault import Vault
from ..protocol.messages import TrustOption
from ..protocol.stores.sealed import StoreKind
from ..shell.passphrase import passphrase
from ..shell.pem import check_target
from ..shell.places import Opener, Place, created, opened_or_created, opener, read_place
from ..shell.waiting import opened

if TYPE_CHECKING:
    import trio

    from ..shell.book import Book
    from ..transports.errors import TransportError
    from ..transports.links import Address

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED: Final = 130

_LINK_ERRORS: Final = f"{__name__.rsplit('.', 2)[0]}.transports.errors"

PATH: Final = click.Path(path_type=Path, dir_okay=False)
DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)


class Number(click.FloatRange):
    """A number within a range; what is none (`nan`) is within no range, and `inf` is no time that anybody has."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """See click.ParamType."""
        number: float = super().convert(value, param, ctx)
        if not isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


WAIT: Final = Number(0, 3600)
"""Seconds to go on trying for somebody at the other end."""


# Errors and signals ------------------------------------------------------------------------------------------


class Group(click.Group):
    """A group whose commands end in one line and a documented exit code when something is wrong."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        """Run the command; our errors become messages."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, click.Abort) as interrupt:
            code = _tell(with_notes("interrupted", interrupt), INTERRUPTED)
        except BaseExceptionGroup as group:
            first = first_error(group)
            if is_interrupted(group):
                code = _tell(with_notes("interrupted", group), INTERRUPTED)
            elif first is not None:
                code = _tell(with_notes(str(first), first, group), first.exit_code)
            else:
                raise
        except Exception as error:
            if not is_ours(error):
                raise
            code = _tell(with_notes(str(error), error), error.exit_code)
        raise click.exceptions.Exit(code)


def with_notes(text: str, *errors: BaseException) -> str:
    """What is told of errors: the text, and what was noted on them on their way up, say how far one came."""
    return "; ".join((text, *(note for error in errors for note in getattr(error, "__notes__", ()))))


def _tell(text: str, code: int) -> int:
    with suppress(OSError):  # nobody can be told that standard error is closed
        if code == INTERRUPTED and sys.stderr.isatty():
            click.echo(err=True)  # the terminal has shown ^C, and the cursor stands behind it
        click.echo(f"insitu: {text}", err=True)
    return code


def is_ours(error: BaseException) -> TypeGuard[InsituError | TransportError]:
    """Whether an error was raised on purpose.

    Those of links are known only once links are loaded, and trio with them: many a command is done in the time that
    this takes.
    """
    links = sys.modules.get(_LINK_ERRORS)
    return isinstance(error, InsituError if links is None else (InsituError, links.TransportError))


def first_error(group: BaseExceptionGroup[BaseException]) -> InsituError | TransportError | None:
    """The first of our errors in a group that holds nothing else."""
    ours, others = group.split(is_ours)
    if ours is None or others is not None:
        return None
    leaf: BaseException = ours
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf if is_ours(leaf) else None


def is_interrupted(group: BaseExceptionGroup[BaseException]) -> bool:
    """Whether a person ended the program, and whatever else failed are errors of ours in its last moments."""
    interrupts, others = group.split(KeyboardInterrupt)
    return interrupts is not None and (others is None or first_error(others) is not None)


def run_async(main: Callable[[], Awaitable[None]], *, serves: bool = False) -> None:
    """Run `main` with trio. SIGINT and SIGTERM cancel it, so that links are closed and nothing is left half done.

    Args:
        main: what to run.
        serves: it runs until it is ended, so that SIGTERM is its good end.

    Raises:
        KeyboardInterrupt: SIGINT, or SIGTERM where something was left undone.

    """
    import trio

    came: set[int] = set()

    async def watch(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        async for number in signals:
            came.add(number)
            scope.cancel()

    async def watched() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch, signals, nursery.cancel_scope)
                await main()
                nursery.cancel_scope.cancel()

    trio.run(watched)
    if came and not (serves and came == {signal.SIGTERM}):
        raise KeyboardInterrupt


@contextmanager
def about(path: Place) -> Iterator[None]:
    """What is refused in this block is another party's certificate or request, and lies there.

    Raises:
        ProtocolError: it is refused.

    """
    try:
        yield
    except (ProtocolError, KeyMismatch) as error:
        raise ProtocolError(error.summary, who=str(path), expected=error.expected, got=error.got) from error


# Stores ------------------------------------------------------------------------------------------------------


class _StoreType(click.ParamType[Place]):
    """A sealed file, or a token by its URI."""

    name = "file|uri"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Place:  # noqa: ANN401
        """See click.ParamType."""
        place = read_place(value) if isinstance(value, str) else value
        if isinstance(place, Path) and place.is_dir():
            self.fail(f"File '{place}' is a directory.", param, ctx)
        return place


class _FileOnly(click.Path):
    """A sealed file, where no token does."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """See click.ParamType."""
        if isinstance(value, str) and is_uri(value):
            raise UsageError("no token does here", who="token", expected="a sealed file", got="a PKCS#11 URI")
        return super().convert(value, param, ctx)


STORE: Final = _StoreType()
FILE_ONLY: Final = _FileOnly(path_type=Path, dir_okay=False)


def store_options(
    name: str = "store", *, prefix: str = "", required: bool = True, token: bool = True
) -> Callable[[F], F]:
    """--STORE with its --passphrase-file or --passphrase-hook; without either a person is asked.

    Args:
        name: of the option.
        prefix: of the other two.
        required: it must be given.
        token: the store may be in a token.

    """
    kind, where = (STORE, f"The {name}'s sealed file or token (pkcs11:...).") if token else (FILE_ONLY, "")
    pin = "; of a token, its PIN" if token else ""

    def decorate(command: F) -> F:
        options = (
            click.option(f"--{name}", type=kind, required=required, help=where or f"The {name}'s sealed file."),
            click.option(
                f"--{prefix}passphrase-file", type=PATH, help=f"File of mode 0600 or 0400 that unseals the {name}{pin}."
            ),
            click.option(f"--{prefix}passphrase-hook", help=f"Command whose output unseals the {name}{pin}."),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def store_opener(place: Place, kind: StoreKind, file: Path | None, hook: str | None) -> Opener:
    """Opens a party's store as often as it is called; the passphrase or PIN is asked for once, now.

    Raises:
        UsageError: the passphrase source is not usable.

    """
    return opener(place, kind, file=file, command=_argv(hook))


def open_store(place: Place, kind: StoreKind, file: Path | None, hook: str | None) -> Vault:
    """Open a party's store. That of a card may serve a unit's questions meanwhile: it is waited for.

    Raises:
        UsageError: wrong file or token, kind, passphrase or PIN.
        EnvironmentFault: the store is damaged or held for long, or the hook failed.

    """
    reopen = store_opener(place, kind, file, hook)
    return opened(reopen) if kind is StoreKind.CARD else reopen()


def open_or_create_store(
    place: Place, kind: StoreKind, file: Path | None, hook: str | None
) -> AbstractContextManager[Vault]:
    """Open a party's store, or make it where there is none; errors as for `open_store` and `create_store`."""
    return opened_or_created(place, kind, file=file, command=_argv(hook))


def open_book(path: Path, file: Path | None, hook: str | None) -> Book:
    """A unit's book of TANs and wrong attempts; its file is open only while it is used.

    Raises:
        UsageError: wrong file, kind or passphrase.

    """
    from ..shell.book import Book

    book = Book.in_file(path, passphrase(file=file, command=_argv(hook), prompt=f"Passphrase of {path}: "))
    book.record()
    return book


def create_store(place: Place, kind: StoreKind, file: Path | None, hook: str | None) -> AbstractContextManager[Vault]:
    """Make a party's store, never over an existing one; it is gone again if the block fails.

    Raises:
        UsageError: there is one, or the passphrase source is not usable.

    """
    return created(place, kind, file=file, command=_argv(hook))


def _argv(hook: str | None) -> list[str] | None:
    try:
        return None if hook is None else shlex.split(hook)
    except ValueError as error:
        raise UsageError("hook command", who="passphrase", expected="a command line", got=error) from None


def check_directory(path: Path) -> None:
    """Make sure, before anything is done that cannot be undone, that there is a directory for the file `path`.

    Raises:
        UsageError: there is none.

    """
    if not path.parent.is_dir():
        raise UsageError(f"cannot write {path}", expected=f"a directory {path.parent}", got="none")


def check_new(path: Path) -> None:
    """Make sure likewise that the file `path` can be made anew: what holds secrets replaces nothing.

    Raises:
        UsageError: there is no such directory, or there is a file.

    """
    check_directory(path)
    if path.exists():
        raise UsageError(f"{path} exists", expected="a new file", got="one that is there")


def check_place(path: Path) -> None:
    """Make sure likewise that a certificate or request can go to `path`.

    Raises:
        UsageError: there is no such directory, or a file of another kind.

    """
    check_directory(path)
    check_target(path)


# Links -------------------------------------------------------------------------------------------------------

OPTIONS: Final = {option.text: option for option in TrustOption}


def trust_options(command: F, *, link_required: bool = True) -> F:
    """--link, --trust and what the operator declares."""
    options = (
        click.option(
            "--link",
            required=link_required,
            help="tcp:HOST:PORT, serial:PATH[?baud=9600], serial:socket://HOST:PORT, device:PATH, "
            "bluetooth:AA:BB:CC:DD:EE:FF/CHANNEL or tls:HOST:PORT?ca=FILE&certificate=FILE&key=FILE.",
        ),
        click.option(
            "--trust",
            type=click.Choice(sorted(OPTIONS)),
            default="certificates",
            show_default=True,
            help="How module and unit trust each other; `insitu trust` says what each is good for.",
        ),
        click.option(
            "--declare-wired",
            is_flag=True,
            help="I answer for it that this link is a cable (physical option on a port of unknown kind).",
        ),
        click.option(
            "--declare-numeric-comparison",
            is_flag=True,
            help="I answer for it that these Bluetooth devices were paired by comparing numbers on both displays.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def parse_link(text: str, trust: str, *, numeric_comparison: bool = False) -> Address:
    """The address of the link between module and unit, if the trust option may be used there.

    Raises:
        AddressError: it is no address.
        UsageError: not for this link (A1).

    """
    from ..protocol.channel.trust.options import check_link
    from ..transports.links import Address

    where = Address.parse(text)
    if where.kind == "memory":
        raise UsageError("a link within one program", expected="a link between programs, tcp or serial say", got=text)
    check_link(OPTIONS[trust], where.kind, got=text)
    if where.never_wired and OPTIONS[trust] is TrustOption.PHYSICAL:
        raise UsageError(
            "trust option physical is for a wired local link only", expected="--link serial:PATH", got=text
        )
    if not numeric_comparison:
        return where
    if where.kind != "bluetooth":
        raise UsageError("--declare-numeric-comparison is for Bluetooth", expected="--link bluetooth:...", got=text)
    return replace(where, numeric_comparison=True)


def parse_local(text: str, *, paired_by_comparison: bool = False) -> Address:
    """The address of the local link between module and mobile, if nobody else can be on it.

    Raises:
        AddressError: it is no address.
        UsageError: somebody else can (A9).

    """
    from ..shell.local_link import check_local
    from ..transports.links import Address

    where = Address.parse(text)
    if where.kind == "memory":
        raise UsageError("a link within one program", expected="a link between programs, serial say", got=text)
    if paired_by_comparison and where.kind != "bluetooth":
        raise UsageError("--paired-by-comparison is for Bluetooth", expected="bluetooth:DEVICE/CHANNEL", got=text)
    if paired_by_comparison:
        where = replace(where, numeric_comparison=True)
    check_local(where)
    return where


def read_fingerprint(text: str) -> bytes:
    """A SHA-256 fingerprint as people hand it on: hexadecimal digits, with or without spaces and colons; 32 bytes.

    Raises:
        UsageError: it is none.

    """
    try:
        fingerprint = bytes.fromhex("".join(text.split()).replace(":", ""))
    except ValueError:
        fingerprint = b""
    if len(fingerprint) != 32:
        raise UsageError("fingerprint", expected="64 hexadecimal digits (SHA-256)", got=text)
    return fingerprint


def moment(text: str) -> int:
    """Unix seconds of a time as people write it; without a zone it is UTC.

    Raises:
        UsageError: it is none.

    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError("time", expected="as in 2026-05-31T12:00:00Z", got=text) from None
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


# Questions ---------------------------------------------------------------------------------------------------


def confirm(question: str, *, who: str) -> None:
    """Have the person at the terminal say yes to what cannot be undone.

    Raises:
        UsageError: there is no terminal, or the answer was another one.

    """
    if not sys.stdin.isatty():
        raise UsageError("nobody to ask", who=who, expected="a terminal, or --yes")
    if not click.confirm(question, err=True):
        raise UsageError("nothing was done", who=who, expected="y", got="no")


# Output ------------------------------------------------------------------------------------------------------


def say(text: str, *, err: bool = False) -> None:
    """A line on standard output, or standard error, at once.

    Raises:
        EnvironmentFault: nobody reads it, or it cannot be written.

    """
    stream = sys.stderr if err else sys.stdout
    encoding = stream.encoding or "ascii"
    try:
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)
        stream.flush()
    except OSError as error:
        with suppress(OSError, ValueError):  # Python writes what is left once more as it ends, and would complain
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise EnvironmentFault(f"cannot write to {stream.name}", got=error.strerror) from None


def emit(as_json: bool, facts: dict[str, object], text: str) -> None:
    """One result: a JSON object on a line, or a line for a person."""
    say(json.dumps(facts, sort_keys=True) if as_json else text)


class Teller:
    """Writes notes to standard output and errors to standard error as they happen."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def show(self, note: object) -> None:
        """A note of a party or session."""
        from ..shell.telling import facts_of, line_of  # it knows all parties; commands that show nothing need none

        facts = facts_of(note)
        if facts is not None:
            self._write(facts, line_of(facts))

    def ready(self, state: str, where: str) -> None:
        """The program waits for others."""
        text = f"ready, {state}, at {where}" if where else f"ready, {state}"
        self._write({"note": "Ready", "state": state, "at": where}, text)

    def mobiles(self, where: str) -> None:
        """Mobiles may come there (A9)."""
        self._write({"note": "MobilesMayCome", "at": where}, f"mobiles may come to {where}")

    def error(self, text: str) -> None:
        """Something went wrong, and the program goes on."""
        self._write({"note": "Error", "error": text}, f"insitu: {text}", err=not self._as_json)

    def _write(self, facts: dict[str, object], text: str, *, err: bool = False) -> None:
        say(json.dumps(facts) if self._as_json else text, err=err)
