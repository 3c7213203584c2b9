"""insitu unit, continued: the unit in the network, its job list, and the queue of jobs that wait for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..protocol.engine import StateError, UsageError
from ..protocol.keys.profile import time_text
from ..protocol.messages import LONGEST_WAIT, CardRole, Job, TrustOption
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.approving import approved_text, described, enter_approvals, key_of
from ..shell.card import Card
from ..shell.job_list import JobList
from ..shell.keeping import Show, ignore, wall_clock
from ..shell.places import Place
from ..shell.serving import while_serving
from ..shell.waiting import opened
from .calls import CallOptions, call_options, call_ports, switchboard
from .common import (
    FILE_ONLY,
    OPTIONS,
    PATH,
    Teller,
    about,
    emit,
    moment,
    open_book,
    open_store,
    parse_link,
    run_async,
    say,
    store_opener,
    store_options,
)
from .people import Approvers, approving, people_options
from .standing import read_number

if TYPE_CHECKING:
    from ..shell.calls import Switchboard
    from ..shell.places import Opener
    from ..shell.unit_service import UnitService
    from ..transports.links import Address

F = TypeVar("F", bound=Callable[..., Any])

DAY: Final = 24 * 3600


# Serving -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Serving:
    """What the options of a unit in the network say.

    Attributes:
        listen: where.
        trust: the option's name.
        jobs: the job list.
        days, seconds: validity of certificates that people are asked for, and how long they have.
        conveyed: of mobiles.
        book, book_passphrase: the unit's book, for options secret and tan, and what opens it.

    """

    listen: str
    trust: str
    jobs: Path | None
    days: int
    seconds: int
    conveyed: CallOptions
    book: Path | None
    book_passphrase: Path | None

    def parsed(self) -> tuple[Address, TrustOption]:
        """Where, and under which option.

        Raises:
            UsageError: not there, or not under this option.

        """
        where = parse_link(self.listen, self.trust)
        if where.kind != "tcp":
            raise UsageError(
                "a unit in the network", who="unit", expected="tcp:HOST:PORT to listen at", got=self.listen
            )
        return where, OPTIONS[self.trust]

    def board(self, show: Show) -> Switchboard | None:
        """Where sessions and mobiles meet; None under another trust option than conveyed.

        Raises:
            UsageError: as `parsed`; or nobody is believed, or can call.

        """
        _, option = self.parsed()
        return switchboard(option, self.conveyed, show)


def serving_options(prefix: str = "") -> Callable[[F], F]:
    """How a unit serves: trust option, job list, validity, how long people have."""

    def decorate(command: F) -> F:
        options = (
            click.option(
                f"--{prefix}trust",
                type=click.Choice(sorted(OPTIONS)),
                default=TrustOption.CERTIFICATES.text,
                show_default=True,
                help="How module and unit trust each other; a module calls with the same.",
            ),
            click.option(
                f"--{prefix}jobs",
                type=PATH,
                help="The job list (insitu unit allow): who is on it may call, and people are asked about its key.",
            ),
            click.option(
                f"--{prefix}days",
                type=click.IntRange(1, 36500),
                default=365,
                show_default=True,
                help="Validity of certificates that people are asked for.",
            ),
            click.option(
                f"--{prefix}patience",
                type=click.IntRange(1, LONGEST_WAIT),
                default=900,
                show_default=True,
                help="Seconds that people have; a module whose time is over calls again with another key.",
            ),
            click.option(
                f"--{prefix}book", type=FILE_ONLY, help="The unit's book (insitu tan init), for secrets and TANs."
            ),
            click.option(
                f"--{prefix}book-passphrase-file", type=PATH, help="File of mode 0600 or 0400 that unseals the book."
            ),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@contextmanager
def unit_service(
    reopen: Opener,
    central: bytes,
    source: Place,
    serving: Serving,
    *,
    allowed: Callable[[Card], None] = ignore,
    read: Callable[[Card], None] | None = None,
    board: Switchboard | None = None,
    tell: Callable[[str], None],
    show: Show,
) -> Iterator[tuple[UnitService, Address]]:
    """A unit with a card that others can use meanwhile, and where it is to listen.

    Args:
        reopen: opens the card's store.
        central: the central system's certificate (DER).
        source: where it comes from.
        serving: the options.
        allowed: is shown the card before anything is opened and certified, and may raise an InsituError.
        read: is given the card whenever its log has grown; None: nobody reads it here.
        board: where sessions and mobiles meet, under trust option conveyed.
        tell: gets a line for each error.
        show: gets notes.

    Raises:
        UsageError, StateError, CertificateRefused: it cannot serve like that.

    """
    from ..shell.card_desk import CardDesk
    from ..shell.unit_service import UnitService
    from ..shell.visit import Rules

    where, option = serving.parsed()
    jobs = None if serving.jobs is None else JobList(serving.jobs)
    if jobs is not None:
        jobs.modules()  # say now that it is none
    with opened(reopen) as vault:
        owner = Card(vault)
        _ = owner.unit  # say now that it lacks
        if owner.split is not None:
            raise StateError(
                "a signing token takes both people at each signature, and a service has neither",
                who="card",
                expected="insitu unit personalize --person, or a card without such a token",
                got="nobody at the unit",
            )
        allowed(owner)
        rules = Rules(central, jobs, serving.days, serving.seconds, partial(allowed, owner))
        book = None if serving.book is None else open_book(serving.book, serving.book_passphrase, None)
        with about(source):
            more: dict[str, Any] = {"board": board, "book": book, "tell": tell, "show": show}
            desk = CardDesk(reopen, reopen.stamp, owner, read=read, tell=tell)
            here = UnitService(desk, owner, option, rules, **more)
        here.check()
        vault.detach()
        yield here, where


@click.command()
@store_options("card")
@click.option("--listen", required=True, help="tcp:HOST:PORT to listen at.")
@click.option("--central", type=PATH, required=True, help="The central system's certificate, made by this card (PEM).")
@serving_options()
@call_options()
@click.option("--health", help="tcp:HOST:PORT for /alive, /ready and /metrics over HTTP; nobody is asked who he is.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def serve(
    card: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    listen: str,
    central: Path,
    trust: str,
    jobs: Path | None,
    days: int,
    patience: int,
    conveyed: CallOptions,
    book: Path | None,
    book_passphrase_file: Path | None,
    health: str | None,
    as_json: bool,
) -> None:
    """Personalize every module that calls and for which two people agree. Runs until it is interrupted.

    They agree beforehand (insitu card approve --module), by a standing approval (insitu card standing), or, for modules
    on the job list, when the module's key is known (insitu unit queue, insitu unit approve). Others can use the card
    meanwhile; what they do takes effect within seconds.
    """
    from ..shell.health import Metrics, serving_health
    from ..transports.links import Address

    teller = Teller(as_json=as_json)
    central_der = pem.read_certificate(central)
    gauges: dict[str, tuple[str, Callable[[], int]]] = {}
    metrics = Metrics(gauges)

    def show(note: object) -> None:
        metrics.note(note)
        teller.show(note)

    serving = Serving(listen, trust, jobs, days, patience, conveyed, book, book_passphrase_file)
    board = serving.board(show)  # before anybody is asked for a passphrase
    reopen = store_opener(card, StoreKind.CARD, passphrase_file, passphrase_hook)
    with ExitStack() as stack:
        about: dict[str, Any] = {"board": board, "tell": teller.error, "show": show}
        serves = unit_service(reopen, central_der, central, serving, **about)
        here, where = stack.enter_context(serves)
        gauges |= unit_gauges(here)
        if health is not None:
            at = serving_health(Address.parse(health), metrics, lambda: unit_lacks(here))
            teller.ready("HEALTH", stack.enter_context(at))

        async def main() -> None:
            run = partial(here.run, where, ready=lambda at: teller.ready("SERVING", at))
            await while_serving(call_ports(here.calls, conveyed, teller.error), teller.mobiles, run)

        run_async(main, serves=True)


def unit_gauges(here: UnitService) -> dict[str, tuple[str, Callable[[], int]]]:
    """What is measured of a unit in the network."""
    return {
        "approvals_awaited": ("Modules that wait until people have approved them", lambda: len(here.queue)),
        "card_certificates_left": ("Certificates for which the card has room at least", lambda: here.room.certificates),
    }


def unit_lacks(here: UnitService) -> str:
    """What keeps it from working."""
    return "" if here.answers else "the card does not answer"


# The job list ------------------------------------------------------------------------------------------------

JOBS: Final = click.option("--jobs", type=PATH, required=True, help="The job list; made if there is none.")


@click.command()
@JOBS
@click.option("--serial", "serials", multiple=True, required=True, help="A serial number, or how some begin: 'SM-00*'.")
@click.option("--until", help="Until when: 2026-05-31T12:00:00Z, or a date.")
@click.option("--days", "term", type=click.IntRange(1, 3650), help="For so many days from now.")
def allow(jobs: Path, serials: tuple[str, ...], until: str | None, term: int | None) -> None:
    """Let modules call for their personalization, until then. That alone lets nothing be signed."""
    if (until is None) == (term is None):
        raise UsageError("until when?", who="unit", expected="--until or --days", got="both" if until else "neither")
    end = wall_clock() + (term or 0) * DAY if until is None else moment(until)
    here = JobList(jobs)
    for serial in serials:
        here.allow(serial, end)
        say(f"{serial} may be personalized until {time_text(end)}, as far as the job list is concerned")


@click.command()
@JOBS
@click.option("--serial", "serials", multiple=True, required=True, help="An entry, as it was made.")
def withdraw(jobs: Path, serials: tuple[str, ...]) -> None:
    """Take modules from the job list; a module that waits for people is turned away."""
    here = JobList(jobs)
    for serial in serials:
        here.withdraw(serial)
        say(f"{serial} is on the job list no more")


@click.command()
@JOBS
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def jobs(jobs: Path, as_json: bool) -> None:
    """Who is on the job list."""
    now = wall_clock()
    for serial, until in sorted(JobList(jobs).modules().items()):
        over = ", which is over" if until < now else ""
        emit(as_json, {"serial": serial, "until": time_text(until)}, f"{serial}  until {time_text(until)}{over}")


# The queue ---------------------------------------------------------------------------------------------------


@click.command()
@store_options("card")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def queue(card: Place, passphrase_file: Path | None, passphrase_hook: str | None, as_json: bool) -> None:
    """The modules that wait until two people have approved the key that they made."""
    with open_store(card, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        for job in owner.record.jobs:
            if _is_queued(job) and owner.now <= job.expires:
                facts: dict[str, object] = {
                    "job": job.number.hex(),
                    "serial": job.subject,
                    "key": key_of(job),
                    "salt": job.salt.hex(),
                    "days": job.days,
                    "expires": job.expires,
                    "approvals": list(job.approvals),
                }
                emit(as_json, facts, described(job))


@click.command()
@store_options("card")
@people_options
@click.option("--job", required=True, help="The job's number, as insitu unit queue shows it.")
def approve(
    card: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    job: str,
) -> None:
    """Approve that this key of this module is certified, once; it is shown before a PIN is asked for."""
    number = read_number(job)
    reopen = store_opener(card, StoreKind.CARD, passphrase_file, passphrase_hook)
    with approving(reopen, lambda owner: [owner.job(number)], Approvers(people, pin_files)) as (owner, (wanted,), pins):
        approvals = enter_approvals(owner, wanted, pins)
    say(approved_text(approvals, "the module is personalized"))


def _is_queued(job: Job) -> bool:
    return job.role is CardRole.MODULE and job.public_key is not None


def add_commands(group: click.Group) -> None:
    """Make them commands of `insitu unit`."""
    for command in (serve, allow, withdraw, jobs, queue, approve):
        group.add_command(command)
