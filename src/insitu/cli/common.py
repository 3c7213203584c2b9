"""What all commands share: passphrase options, stores, links, and how errors become exit codes.

Exit codes: 0 done; 2 the caller's mistake; 3 the peer's; 4 port, disk or token; 5 not in this state; 130 interrupted.
1 is a bug: it comes with a traceback and should be reported.
"""

from __future__ import annotations

import json
import secrets
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..protocol.engine import InsituError
from ..protocol.keys.vault import SealedVault
from ..protocol.messages import TrustOption
from ..protocol.stores.sealed import StoreKind
from ..shell.passphrase import passphrase
from ..transports.errors import TransportError

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED: Final = 130

PATH: Final = click.Path(path_type=Path, dir_okay=False)
DIRECTORY: Final = click.Path(path_type=Path, file_okay=False)


class Group(click.Group):
    """A group whose commands end in one line and a documented exit code when something is wrong."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's
        """Run the command; our errors become messages."""
        try:
            return super().invoke(ctx)
        except (InsituError, TransportError) as error:
            click.echo(f"insitu: {error}", err=True)
            ctx.exit(error.exit_code)
        except BaseExceptionGroup as group:
            first = first_error(group)
            if first is not None:
                click.echo(f"insitu: {first}", err=True)
                ctx.exit(first.exit_code)
            if group.split(KeyboardInterrupt)[1] is None:
                ctx.exit(INTERRUPTED)
            raise
        except KeyboardInterrupt:
            click.echo("insitu: interrupted", err=True)
            ctx.exit(INTERRUPTED)


def first_error(group: BaseExceptionGroup[BaseException]) -> InsituError | TransportError | None:
    """The first of our errors in a group that holds nothing else."""
    ours, others = group.split((InsituError, TransportError))
    if ours is None or others is not None:
        return None
    leaf: BaseException = ours
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf if isinstance(leaf, (InsituError, TransportError)) else None


def store_options(name: str = "store", *, prefix: str = "") -> Callable[[F], F]:
    """--STORE with its --passphrase-file or --passphrase-hook; without either a person is asked."""

    def decorate(command: F) -> F:
        options = (
            click.option(f"--{name}", type=PATH, required=True, help=f"The {name}'s sealed file."),
            click.option(
                f"--{prefix}passphrase-file", type=PATH, help=f"File of mode 0600 or 0400 that unseals the {name}."
            ),
            click.option(f"--{prefix}passphrase-hook", help=f"Command whose output unseals the {name}."),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def open_store(path: Path, kind: StoreKind, file: Path | None, hook: str | None) -> SealedVault:
    """Open a party's sealed file.

    Raises:
        UsageError: wrong file, kind or passphrase.
        EnvironmentFault: the file is damaged, or the hook failed.

    """
    secret = passphrase(file=file, command=_argv(hook), prompt=f"Passphrase of {path}: ")
    return SealedVault.open(path, kind, secret, entropy=secrets.token_bytes)


def create_store(path: Path, kind: StoreKind, file: Path | None, hook: str | None) -> SealedVault:
    """Make a party's sealed file; never over an existing one.

    Raises:
        UsageError: the file exists, or the passphrase source is not usable.

    """
    secret = passphrase(file=file, command=_argv(hook), prompt=f"New passphrase of {path}: ", new=True)
    return SealedVault.create(path, kind, secret, entropy=secrets.token_bytes)


def _argv(hook: str | None) -> list[str] | None:
    return None if hook is None else shlex.split(hook)


OPTIONS: Final = {"certificates": TrustOption.CERTIFICATES, "physical": TrustOption.PHYSICAL}


def trust_options(command: F) -> F:
    """--link, --trust and --declare-wired."""
    options = (
        click.option("--link", required=True, help="tcp:HOST:PORT or serial:PATH[?baud=9600]."),
        click.option(
            "--trust",
            type=click.Choice(sorted(OPTIONS)),
            default="certificates",
            show_default=True,
            help="How module and unit trust each other. physical protects against listeners only.",
        ),
        click.option(
            "--declare-wired",
            is_flag=True,
            help="I answer for it that this link is a cable (physical option on a port of unknown kind).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def emit(as_json: bool, facts: dict[str, object], text: str) -> None:
    """One result: a JSON object on a line, or a line for a person."""
    click.echo(json.dumps(facts, sort_keys=True) if as_json else text)
    sys.stdout.flush()


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
        self._write({"note": "Ready", "state": state, "at": where}, f"ready, {state}, at {where}")

    def error(self, text: str) -> None:
        """Something went wrong, and the program goes on."""
        self._write({"note": "Error", "error": text}, f"insitu: {text}", err=not self._as_json)

    def _write(self, facts: dict[str, object], text: str, *, err: bool = False) -> None:
        click.echo(json.dumps(facts) if self._as_json else text, err=err)
        (sys.stderr if err else sys.stdout).flush()
