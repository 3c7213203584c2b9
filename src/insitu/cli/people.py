"""People who approve, as commands know them: their names, their PINs from files or typed, their approvals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from ..protocol.engine import UsageError
from ..protocol.parties.card_data import AnyJob
from ..protocol.stores.secret import Secret
from ..shell.card import Card
from ..shell.passphrase import passphrase

F = TypeVar("F", bound=Callable[..., Any])

MISSING: Final = {2: "2 approvals missing", 1: "1 approval missing"}


def people_options(command: F, *, required: bool = True) -> F:
    """--person, with --pin-file for each; without a file that person is asked."""
    person = click.option(
        "--person", "people", multiple=True, required=required, help="Who approves; several if they sit together."
    )
    pin = click.option("--pin-file", "pin_files", multiple=True, help="PERSON=FILE with that person's PIN, mode 0600.")
    return person(pin(command))


def pins_of(people: tuple[str, ...], pin_files: tuple[str, ...], *, new: bool = False) -> dict[str, bytes]:
    """The PIN of each person: from a file, else typed.

    Raises:
        UsageError: somebody is named twice, or there is a PIN of nobody.

    """
    if len(set(people)) < len(people):
        raise UsageError("a person is named twice", expected="different people", got=", ".join(people))
    files = dict(_pin_file(pair) for pair in pin_files)
    if unknown := files.keys() - set(people):
        raise UsageError("PIN of nobody", expected=f"--person {min(unknown)}", got=f"--pin-file {min(unknown)}=...")
    return {person: _pin(person, files.get(person), new=new) for person in people}


def _pin_file(pair: str) -> tuple[str, Path]:
    person, found, file = pair.partition("=")
    if not found:
        raise UsageError("--pin-file", expected="PERSON=FILE", got=pair)
    return person, Path(file)


def _pin(person: str, file: Path | None, *, new: bool) -> bytes:
    pin: Secret = passphrase(file=file, prompt=f"PIN of {person}: ", new=new)
    return pin.reveal()


def enter_approvals(owner: Card, job: AnyJob, pins: dict[str, bytes]) -> list[str]:
    """Enter the approvals of these people; who has approved by now.

    Who approved before is passed over, so that an attempt that broke off can be made again; but somebody new, or
    both approvals, there must be.

    Raises:
        UsageError: a wrong PIN.
        StateError: an approval that the card does not take.

    """
    approvals = list(job.approvals)
    new = [person for person in pins if person not in approvals]
    if len(approvals) < 2:
        for person in new or pins:
            owner.approve(job, person, pins[person])
            approvals.append(person)
    return approvals
