"""People who approve, as commands know them: their names, their PINs from files or typed, their approvals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..protocol.engine import KeyKind, StateError, UsageError
from ..protocol.keys.profile import time_text
from ..protocol.keys.public import decompress
from ..protocol.messages import Job
from ..protocol.parties.card_data import AnyJob
from ..protocol.stores.secret import Secret
from ..shell.card import Card
from ..shell.outlook import MISSING as MISSING
from ..shell.passphrase import passphrase

F = TypeVar("F", bound=Callable[..., Any])


def people_options(command: F, *, required: bool = True) -> F:
    """--person, with --pin-file for each; without a file that person is asked."""
    person = click.option(
        "--person", "people", multiple=True, required=required, help="Who approves; several if they sit together."
    )
    pin = click.option(
        "--pin-file", "pin_files", multiple=True, help="PERSON=FILE with that person's PIN, mode 0600; - for stdin."
    )
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


def ask_for_approvals(owner: Card, job: AnyJob, pin_files: tuple[str, ...], tell: Callable[[str], None]) -> list[str]:
    """Ask at this terminal who approves, and for the PIN, until two people have; who they are. Who errs is asked again.

    Raises:
        StateError: too many people are locked.
        UsageError: a PIN file that is none, or has a wrong PIN.

    """
    files = dict(_pin_file(pair) for pair in pin_files)
    approvals = list(job.approvals)
    while len(approvals) < 2:
        if owner.is_locked:
            raise StateError("nobody can approve any more", who="card", expected="two people who are not locked")
        names = [person.name for person in owner.record.people if person.name not in approvals]
        person = str(click.prompt(f"   Who approves? ({', '.join(names)})")).strip()
        if person not in names:
            tell(f"{person} has approved" if person in approvals else f"nobody of that name approves here: {person!r}")
            continue
        try:
            owner.approve(job, person, _pin(person, files.get(person), new=False))
        except (UsageError, StateError) as error:
            if person in files:
                raise
            tell(str(error))
            continue
        approvals.append(person)
    return approvals


def key_of(job: Job) -> str:
    """The key that a job is for, as people compare it."""
    from ..shell.telling import key_fingerprint

    return "none yet" if job.public_key is None else key_fingerprint(decompress(KeyKind.P256, job.public_key))


def described(job: Job) -> str:
    """Exactly what is to be approved, for people."""
    return "\n".join(
        (
            f"job {job.number.hex()}: {job.role.name.lower()} {job.subject} for {job.days} days",
            f"  key       {key_of(job)}",
            f"  salt      {job.salt.hex()}",
            f"  approved  by {' and '.join(job.approvals) or 'nobody'}; open until {time_text(job.expires)}",
        )
    )
