"""insitu card people and change-pin: who may approve with a card, and with which PIN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..protocol.engine import UsageError
from ..protocol.keys.vault import Vault
from ..protocol.messages import PeopleChange, PeopleJob
from ..protocol.stores.sealed import StoreKind
from ..protocol.stores.secret import Secret
from ..shell.approving import approved_text, change_text, enter_approvals
from ..shell.card import Card
from ..shell.card_status import people_facts, people_lines
from ..shell.passphrase import passphrase
from ..shell.places import Place
from ..shell.waiting import opened
from .common import PATH, Group, emit, open_store, say, store_opener, store_options
from .people import Approvers, approving, people_options
from .standing import read_number

F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=Group)
def people() -> None:
    """Who may approve with the card; two different people approve each change of that."""


def _change_options(command: F) -> F:
    """--store, --name and who approves; nobody has to yet."""
    name = click.option("--name", required=True, help="Who is concerned.")
    return store_options()(name(people_options(command, required=False)))


@people.command("list")
@store_options()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, as_json: bool) -> None:
    """The people, the tries that each has left, and the changes that wait for approval."""
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        for facts, line in zip(people_facts(owner), people_lines(owner), strict=True):
            emit(as_json, facts, line)


@people.command()
@_change_options
@click.option("--by", required=True, help="Who comes, and sets a PIN: here and now, or from --pin-file BY=FILE.")
def replace(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    name: str,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    by: str,
) -> None:
    """Let another person approve in somebody's place."""
    _change(
        store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook),
        PeopleChange.REPLACE,
        name,
        by,
        people,
        pin_files,
    )


def _changing(name: str, change: PeopleChange, text: str) -> None:
    """A command for a change that concerns one person."""

    @people.command(name, help=text)
    @_change_options
    def command(
        store: Place,
        passphrase_file: Path | None,
        passphrase_hook: str | None,
        name: str,
        people: tuple[str, ...],
        pin_files: tuple[str, ...],
    ) -> None:
        _change(
            store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook), change, name, None, people, pin_files
        )


_changing(
    "add",
    PeopleChange.ADD,
    "Let another person approve, too, who sets a PIN: here and now, or from --pin-file NAME=FILE.",
)
_changing("remove", PeopleChange.REMOVE, "Let a person approve no more. Two who can approve must be left.")
_changing(
    "unlock",
    PeopleChange.UNLOCK,
    """Unlock a person after wrong PINs; the PIN stays as it was.

    With a signing token, both type their halves (--person for each), and the token says whether they are right: that
    is one of its own tries.
    """,
)


@people.command("new-pin")
@_change_options
@click.option("--officer", is_flag=True, help="A signing token's security officer sets the PIN of both.")
@click.option("--officer-pin-file", type=PATH, help="File of mode 0600 or 0400 with the officer's PIN; - for stdin.")
def new_pin(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    name: str,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    officer: bool,
    officer_pin_file: Path | None,
) -> None:
    """Give a person who forgot the PIN another one, which that person sets: here and now, or from --pin-file.

    Who knows the PIN changes it alone: insitu card change-pin. A forgotten half of a signing token's PIN takes the
    token's security officer (--officer), and new halves of both people (--person for each).
    """
    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    if officer or officer_pin_file is not None:
        approvers = Approvers(people, pin_files)
        told = passphrase(file=officer_pin_file, prompt="PIN of the security officer: ")
        _take_halves(reopen, name, approvers, told)
    else:
        _change(reopen, PeopleChange.RENEW, name, None, people, pin_files)


@people.command()
@store_options()
@people_options
@click.option("--job", required=True, help="The change's number, as insitu card people list shows it.")
def approve(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    job: str,
) -> None:
    """Approve a change that somebody has proposed; it is shown before a PIN is asked for."""
    number = read_number(job)

    def find(owner: Card) -> list[PeopleJob]:
        return [owner.change(number)]

    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    with approving(reopen, find, Approvers(people, pin_files)) as (owner, (wanted,), pins):
        _settle(owner, wanted, pins)


def _change(
    reopen: Callable[[], Vault],
    change: PeopleChange,
    person: str,
    by: str | None,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
) -> None:
    """Propose it, with the new PIN of whom gets one; in force as soon as two different people have approved it."""
    if change is PeopleChange.UNLOCK and _has_signing_token(reopen):
        _take_halves(reopen, person, Approvers(people, pin_files))
        return
    comes = person if by is None else by
    approvers = Approvers(people, pin_files, others=(comes,) if change.brings_a_pin else ())
    if change.brings_a_pin and comes in people:
        raise UsageError("who approves", expected="others than who gets a PIN", got=comes)
    pin = approvers.pin(comes, new=True) if change.brings_a_pin else None

    def propose(owner: Card) -> list[PeopleJob]:
        return [owner.propose_change(change, person, comes=by, pin=pin)]

    with approving(reopen, propose, approvers) as (owner, (job,), pins):
        _settle(owner, job, pins, pin)


def _has_signing_token(reopen: Callable[[], Vault]) -> bool:
    with opened(reopen) as vault:
        return Card(vault).split is not None


def _take_halves(reopen: Callable[[], Vault], person: str, approvers: Approvers, officer: Secret | None = None) -> None:
    """Both people have the token say that their halves are right; or its security officer sets them."""
    pins = approvers.pins(new=officer is not None)
    with opened(reopen) as vault:
        Card(vault).take_halves(person, pins, officer)
    done = "is unlocked: the token took both halves" if officer is None else "has a new half, as the token has it"
    say(f"{person} {done}; what was approved before counts no more")


def _settle(owner: Card, job: PeopleJob, pins: dict[str, bytes], pin: bytes | None = None) -> None:
    approvals = enter_approvals(owner, job, pins)
    if len(approvals) == 2:
        owner.change_people(job.number, pin)
    say(f"{change_text(job)}, job {job.number.hex()}: {approved_text(approvals, 'in force')}")


@click.command("change-pin")
@store_options()
@click.option("--person", required=True, help="Whose PIN; the one that counts is asked for first.")
@click.option("--pin-file", type=PATH, help="File of mode 0600 or 0400 with the PIN that counts.")
@click.option("--new-pin-file", type=PATH, help="File of mode 0600 or 0400 with the new one.")
@click.option("--with", "other", help="The other person, where the PIN is half of a signing token's: both agree.")
@click.option("--with-pin-file", "other_pin_file", type=PATH, help="File of mode 0600 or 0400 with that person's PIN.")
def change_pin(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    person: str,
    pin_file: Path | None,
    new_pin_file: Path | None,
    other: str | None,
    other_pin_file: Path | None,
) -> None:
    """Set another PIN for a person who knows the one that counts.

    Where the signing key is in a token of its own, that is half of the token's PIN: it is set anew with both people
    present. An attempt that was cut off is made again with the same PINs.
    """
    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    old = passphrase(file=pin_file, prompt=f"PIN of {person}: ")
    new = passphrase(file=new_pin_file, prompt=f"New PIN of {person}: ", new=True)
    others = {} if other is None else {other: passphrase(file=other_pin_file, prompt=f"PIN of {other}: ").reveal()}
    with opened(reopen) as vault:
        owner = Card(vault)
        if owner.split is None or not others:
            owner.change_pin(person, old.reveal(), new.reveal())
        else:
            job = owner.propose_change(PeopleChange.RENEW, person, pin=new.reveal())
            _settle(owner, job, {person: old.reveal(), **others}, new.reveal())
    say(f"the new PIN of {person} counts")
