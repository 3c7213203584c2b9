"""People who approve, as commands know them: their names, their PINs from files or typed, their approvals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from ..protocol.engine import StateError, UsageError
from ..protocol.keys.vault import Vault
from ..protocol.messages import Job, ListJob, PeopleJob, StandingJob
from ..protocol.parties.card_data import AnyJob
from ..shell.approving import described
from ..shell.card import Card
from ..shell.card_status import room_warning
from ..shell.passphrase import passphrase
from ..shell.waiting import opened
from .common import say

F = TypeVar("F", bound=Callable[..., Any])
J = TypeVar("J", Job, ListJob, StandingJob, PeopleJob)


def people_options(command: F, *, required: bool = True) -> F:
    """--person, with --pin-file for each; without a file that person is asked."""
    person = click.option(
        "--person", "people", multiple=True, required=required, help="Who approves; several if they sit together."
    )
    pin = click.option(
        "--pin-file", "pin_files", multiple=True, help="PERSON=FILE with that person's PIN, mode 0600; - for stdin."
    )
    return person(pin(command))


class Approvers:
    """Those who approve. PINs in files are read at once, the others typed once people have been shown what it is about.

    Raises:
        UsageError: somebody is named twice, there is a PIN of nobody, or a file is none of a PIN.

    """

    def __init__(self, people: Sequence[str], pin_files: Sequence[str], *, others: Sequence[str] = ()) -> None:
        if len(set(people)) < len(people):
            raise UsageError("a person is named twice", expected="different people", got=", ".join(people))
        files = dict(_pin_file(pair) for pair in pin_files)
        if unknown := files.keys() - {*people, *others}:
            raise UsageError("PIN of nobody", expected=f"--person {min(unknown)}", got=f"--pin-file {min(unknown)}=...")
        self.people = tuple(people)
        named = [person for person in (*people, *others) if person in files]
        self._pins = {person: passphrase(file=files[person]).reveal() for person in named}

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.people)

    @property
    def are_known(self) -> bool:
        """Whether all PINs are here."""
        return self._pins.keys() >= set(self.people)

    def pins(self, *, new: bool = False) -> dict[str, bytes]:
        """The PIN of each; who is missing is asked, twice where it is a new one."""
        return {person: self.pin(person, new=new) for person in self.people}

    def pin(self, person: str, *, new: bool = False) -> bytes:
        """The PIN of one; asked for where there was no file."""
        if person not in self._pins:
            prompt = f"{'New ' if new else ''}PIN of {person}: "
            self._pins[person] = passphrase(prompt=prompt, new=new).reveal()
        return self._pins[person]


def _pin_file(pair: str) -> tuple[str, Path]:
    person, found, file = pair.partition("=")
    if not found:
        raise UsageError("--pin-file", expected="PERSON=FILE", got=pair)
    return person, Path(file)


def check_together(owner: Card, people: Sequence[str]) -> None:
    """Make sure that two people are there where approvals do not last.

    Raises:
        StateError: one person is there, for a signing token.

    """
    if owner.split is not None and len(people) < 2:
        expected = "both people at once, who hold the signing token's PIN together"
        raise StateError("approvals of a signing token do not last", who="card", expected=expected, got="one person")


@contextmanager
def approving(
    reopen: Callable[[], Vault], propose: Callable[[Card], Sequence[J]], approvers: Approvers
) -> Iterator[tuple[Card, Sequence[J], dict[str, bytes]]]:
    """Jobs that people are to approve: opened or found, shown, and then the PINs; with the card for what comes after.

    While people type, others can use the card. What they were shown is what is approved: should the job have become
    another meanwhile, the card refuses.
    """
    with opened(reopen) as vault:
        owner = Card(vault)
        if approvers:
            check_together(owner, approvers.people)
            for person in approvers.people:
                owner.check_person(person)
        jobs = propose(owner)
        for job in jobs if approvers else ():
            say(described(job))
        if warning := room_warning(owner.room):
            say(warning)
        if approvers.are_known:
            yield owner, jobs, approvers.pins()
            return
    pins = approvers.pins()
    with opened(reopen) as vault:
        yield Card(vault), jobs, pins


def ask_for_approvals(
    owner: Card, job: AnyJob, pin_files: tuple[str, ...], tell: Callable[[str], None]
) -> tuple[str, ...]:
    """Ask at this terminal who approves, and for the PIN, until two people have; who they are. Who errs is asked again.

    Raises:
        StateError: too many people are locked, or the job is open no more.
        UsageError: a PIN file that is none, or has a wrong PIN.

    """
    files = dict(_pin_file(pair) for pair in pin_files)
    while len(approvals := owner.as_it_is(job).approvals) < 2:
        if owner.is_locked:
            raise StateError("nobody can approve any more", who="card", expected="two people who are not locked")
        names = [person.name for person in owner.record.people if person.name not in approvals]
        person = str(click.prompt(f"   Who approves? ({', '.join(names)})")).strip()
        if person not in names:
            tell(f"{person} has approved" if person in approvals else f"nobody of that name approves here: {person!r}")
            continue
        try:
            pin = passphrase(file=files.get(person), prompt=f"PIN of {person}: ").reveal()
            owner.approve(job, person, pin)
        except (UsageError, StateError) as error:
            if person in files:
                raise
            tell(str(error))
    return approvals
