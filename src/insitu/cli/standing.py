"""insitu card standing: consent of two people to a number of certificates, once for all: approve, list, withdraw."""

from __future__ import annotations

from pathlib import Path

import click

from ..protocol.engine import UsageError
from ..protocol.messages import MOST_BY_STANDING, StandingJob
from ..protocol.stores.card_log import Standing
from ..protocol.stores.sealed import StoreKind
from ..shell.approving import approved_text, enter_approvals, named, standing_limits
from ..shell.card import Card
from ..shell.card_status import standing_use
from ..shell.places import Place
from .common import Group, emit, moment, open_store, say, store_opener, store_options
from .people import Approvers, approving, people_options


@click.group(cls=Group)
def standing() -> None:
    """Approve a number of personalizations once for all, within the limits of the card's policy."""


@standing.command()
@store_options()
@people_options
@click.option(
    "--serial", "serials", multiple=True, required=True, help="A module's serial number, or how some begin: 'SM-00*'."
)
@click.option("--most", required=True, type=click.IntRange(1, MOST_BY_STANDING), help="How many certificates.")
@click.option("--until", required=True, help="When it ends: 2026-05-31T12:00:00Z, or a date.")
@click.option(
    "--days", default=365, show_default=True, type=click.IntRange(1, 36500), help="Validity of each certificate."
)
def approve(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    serials: tuple[str, ...],
    most: int,
    until: str,
    days: int,
) -> None:
    """Approve exactly this; it is in force as soon as two different people have."""
    end = moment(until)
    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    approvers = Approvers(people, pin_files)

    def propose(owner: Card) -> list[StandingJob]:
        return [owner.propose_standing(serials, most=most, until=end, days=days)]

    with approving(reopen, propose, approvers) as (owner, (job,), pins):
        approvals = enter_approvals(owner, job, pins)
        if len(approvals) == 2:
            owner.bring_into_force(job.number)
    say(f"standing approval {job.number.hex()}: {standing_limits(job)}: {approved_text(approvals, 'in force')}")


@standing.command("list")
@store_options()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, as_json: bool) -> None:
    """What is in force, and what waits for people."""
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        in_force, waiting, policy = owner.standing, owner.record.standing, owner.record.policy
    if not as_json:
        limits = "none" if policy is None else f"{policy.most} certificates at a time, for {policy.days} days"
        say(f"policy: {limits}")
    for each in in_force.values():
        text = f"{each.begun.job.hex()}: {standing_use(each)}, approved by {named(each.begun.approvers)}"
        emit(as_json, _facts(each), text)
    for job in waiting:
        facts = {"standing": job.number.hex(), "serials": list(job.serials), "most": job.most, "until": job.until}
        text = f"{job.number.hex()}: {standing_limits(job)}, {approved_text(job.approvals)}"
        emit(as_json, {**facts, "days": job.days, "approvals": list(job.approvals), "in_force": False}, text)


@standing.command()
@store_options()
@click.option("--number", required=True, help="Of the standing approval: 32 hexadecimal digits.")
def withdraw(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, number: str) -> None:
    """Let a standing approval count no more. One person is enough for that, and no PIN."""
    which = read_number(number)
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        Card(vault).withdraw(which)
    say(f"standing approval {which.hex()} is withdrawn")


def read_number(text: str) -> bytes:
    """The number of a job or standing approval, 16 bytes.

    Raises:
        UsageError: it is none.

    """
    try:
        number = bytes.fromhex(text)
    except ValueError:
        number = b""
    if len(number) != 16:
        raise UsageError("number", who="card", expected="32 hexadecimal digits", got=text)
    return number


def _facts(standing: Standing) -> dict[str, object]:
    begun = standing.begun
    return {
        "standing": begun.job.hex(),
        "serials": list(begun.serials),
        "most": begun.most,
        "used": standing.used,
        "until": begun.until,
        "days": begun.days,
        "approvals": list(begun.approvers),
        "in_force": True,
    }
