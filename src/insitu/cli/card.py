"""insitu card: the customer's card in software: keys, people, jobs, approvals, revocation lists. Its log: log.py."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click

from ..protocol.engine import PublicKey, StateError, UsageError
from ..protocol.keys.certificates import fingerprint_text, trusted_root
from ..protocol.keys.profile import PLAUSIBILITY, checked_name, time_text
from ..protocol.keys.requests import read_request
from ..protocol.keys.revocation import read_crl
from ..protocol.messages import MOST_BY_STANDING, MOST_TICKETS, CardRole, Job, ListJob, StandingPolicy, encode_record
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.approving import MISSING, approved_text, enter_approvals
from ..shell.card import LIST_DAYS, Card
from ..shell.card_status import signing_text, status_lines, status_of
from ..shell.places import Place, pin_of
from ..shell.signing import recorded, signing_uri, taken_over
from ..shell.telling import key_fingerprint
from ..shell.waiting import opened
from .card_people import change_pin, people
from .common import (
    DIRECTORY,
    PATH,
    WAIT,
    Group,
    Teller,
    about,
    check_new,
    check_place,
    create_store,
    emit,
    open_store,
    read_fingerprint,
    run_async,
    say,
    store_opener,
    store_options,
)
from .people import Approvers, approving, people_options
from .requests import read_told_request
from .standing import read_number, standing


@click.group(cls=Group)
def card() -> None:
    """The customer's card: signing key under four eyes."""


card.add_command(standing)
card.add_command(people)
card.add_command(change_pin)


@card.command()
@store_options()
@click.option("--name", required=True, help="The customer's name.")
@click.option("--person", "people", multiple=True, required=True, help="Who may approve; at least two.")
@click.option("--pin-file", "pin_files", multiple=True, help="PERSON=FILE with that person's PIN, mode 0600.")
@click.option("--request", type=PATH, required=True, help="Where to write the request for the manufacturer.")
@click.option(
    "--standing-most",
    type=click.IntRange(0, MOST_BY_STANDING),
    default=0,
    show_default=True,
    help="Certificates that standing approvals may be good for at a time, all together; never to be changed.",
)
@click.option(
    "--standing-days",
    type=click.IntRange(1, 366),
    default=7,
    show_default=True,
    help="How long a standing approval may last; never to be changed.",
)
@click.option(
    "--signing",
    help="pkcs11:... of a token for the signing key: its PIN becomes what two people hold together, half each.",
)
@click.option("--signing-pin-file", type=PATH, help="File of mode 0600 or 0400 with that token's present PIN.")
def init(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    name: str,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    request: Path,
    standing_most: int,
    standing_days: int,
    signing: str | None,
    signing_pin_file: Path | None,
) -> None:
    """Take a card into use: make its keys, set the people's PINs.

    With --signing, the signing key is made in that token and takes both people at every signature; its PIN is set anew,
    so that neither of them, nor who set it up, knows all of it. Who has its security officer's PIN can undo that.
    """
    if len(set(people)) < 2:
        raise UsageError("who may approve", expected="--person for two different people", got=", ".join(people))
    if signing is not None and standing_most:
        raise UsageError(
            "standing approvals", expected="none with --signing: both people are there each time", got="some"
        )
    uri = None if signing is None else signing_uri(signing)
    pins = Approvers(people, pin_files).pins(new=True)
    with ExitStack() as stack:
        vault = stack.enter_context(create_store(store, StoreKind.CARD, passphrase_file, passphrase_hook))
        if uri is not None:
            present = pin_of(uri, signing_pin_file)
            vault = stack.enter_context(taken_over(vault, uri, present, pins))
        policy = StandingPolicy(standing_most, standing_days) if standing_most else None
        owner = Card(vault)
        made = owner.furnish(name, pins, policy=policy, signing=None if uri is None else recorded(uri))
        signing_line = signing_text(owner.record)
        pem.write_request(request, made)
    say(f"card of {name}: {', '.join(people)} may approve; send {request} to the manufacturer")
    if signing_line:
        say(signing_line)
    say(f"our key {key_fingerprint(read_request(made).public)}: tell it to them over another path")


@card.command()
@store_options()
@click.option("--root", type=PATH, required=True, help="The manufacturer's root certificate (PEM).")
@click.option("--customer", type=PATH, required=True, help="Our certificate, made by the manufacturer (PEM).")
def install(
    store: Place, passphrase_file: Path | None, passphrase_hook: str | None, root: Path, customer: Path
) -> None:
    """Keep what the manufacturer sent."""
    root_der, customer_der = pem.read_certificate(root), pem.read_certificate(customer)
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        with about(root):
            trusted_root(root_der)
        with about(customer):
            owner.install(root_der, customer_der)
        say(f"manufacturer's root {fingerprint_text(owner.root.fingerprint)}: compare it with theirs")
        say(f"our certificate {fingerprint_text(owner.customer.fingerprint)}: tell it to who runs the central system")


@card.command("install-circular")
@store_options()
@click.option("--customer", type=PATH, required=True, help="Our certificate, made by our central system (PEM).")
@click.option("--central", type=PATH, required=True, help="The central system's request (PEM).")
@click.option("--key", required=True, help="SHA-256 of the central system's key, learned over another path.")
def install_circular(
    store: Place, passphrase_file: Path | None, passphrase_hook: str | None, customer: Path, central: Path, key: str
) -> None:
    """Keep a certificate by our own central system instead of the manufacturer: a plausibility check only.

    Modules take it over a cable (--trust physical) if they were delivered with --admit-circular.
    """
    request, der = read_told_request(central, key, who="card"), pem.read_certificate(customer)
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        with about(customer):
            owner.install_circular(request.der, der)
        say(f"our certificate {fingerprint_text(owner.customer.fingerprint)}, by {request.subject}: {PLAUSIBILITY}")


@card.command()
@store_options()
@people_options
@click.option("--module", "serial", help="Approve the personalization of the module with this serial number.")
@click.option("--unit", help="Approve the unit's certificate under this name.")
@click.option("--central", type=PATH, help="Approve the central system's certificate for this request (PEM).")
@click.option("--central-key", help="SHA-256 of the central system's key, learned over another path.")
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 36500), help="Validity.")
@click.option("--out", type=DIRECTORY, default=".", help="Where to write unit.pem and central.pem once approved.")
def approve(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    serial: str | None,
    unit: str | None,
    central: Path | None,
    central_key: str | None,
    days: int,
    out: Path,
) -> None:
    """Approve exactly these certificates, one of each kind at most.

    Those of a unit and of a central system are made as soon as two different people have approved, that of a module
    when it is personalized.
    """
    if (serial, unit, central) == (None, None, None):
        raise UsageError("what to approve", expected="--module, --unit or --central", got="nothing")
    for name, asked in (("unit", unit), ("central", central)):
        if asked is not None:
            check_place(out / f"{name}.pem")
    request = None if central is None else read_told_request(central, central_key, who="card")
    for subject in (serial, unit):
        if subject is not None:
            checked_name(subject)
    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    approvers = Approvers(people, pin_files)
    keys: dict[bytes, PublicKey] = {}

    def propose(owner: Card) -> list[Job]:
        jobs: list[Job] = []
        if serial is not None and owner.split is not None:
            expected = "both people as it is personalized: insitu unit personalize --person"
            raise StateError("approvals of a signing token do not last", who="card", expected=expected)
        if unit is not None:
            jobs.append(owner.propose(CardRole.UNIT, unit, public=owner.authentication.public, days=days))
            keys[jobs[-1].number] = owner.authentication.public
        if request is not None:
            jobs.append(owner.propose(CardRole.CENTRAL, request.subject, public=request.public, days=days))
            keys[jobs[-1].number] = request.public
        if serial is not None:
            jobs.append(owner.propose(CardRole.MODULE, serial, days=days))
        return jobs

    with approving(reopen, propose, approvers) as (owner, jobs, pins):
        for job in jobs:
            approvals, public = enter_approvals(owner, job, pins), keys.get(job.number)
            role = job.role.name.lower()
            of, done = "", "ready to personalize"
            if public is not None:
                of, file = f"; key {key_fingerprint(public)}", out / f"{role}.pem"
                done = f"certificate in {file}"
                if len(approvals) == 2:
                    pem.write_certificate(file, owner.certify(job.number, public))
            say(f"{role} {job.subject}, job {job.number.hex()}: {approved_text(approvals, done)}{of}")


@card.command()
@store_options()
@click.option("--job", required=True, help="The job's number, as insitu card status shows it.")
@click.option("--person", required=True, help="Whose approval counts no more.")
def withdraw(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, job: str, person: str) -> None:
    """Let an approval count no more, as long as nothing was signed by it. No PIN is asked for that."""
    number = read_number(job)
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        missing = Card(vault).withdraw_approval(number, person)
    say(f"job {number.hex()}: the approval of {person} is withdrawn, {MISSING[missing]}")


@card.command()
@store_options()
@click.option("--link", required=True, help="tcp:HOST:PORT where insitu central enroll-card waits.")
@click.option("--central", required=True, help="SHA-256 of the central system's key, learned over another path.")
@click.option("--request", type=PATH, required=True, help="Where to write the central system's request (PEM).")
@click.option("--wait", type=WAIT, default=0.0, help="Seconds to go on trying to reach it.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def enroll(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    link: str,
    central: str,
    request: Path,
    wait: float,
    as_json: bool,
) -> None:
    """Bring our signing key to a central system over a link, and its request for a certificate back.

    The card needs the certificate of its authentication key (approve --unit). The signing key signs nothing: what the
    central system asks for is for two people to approve (approve --central).
    """
    from ..shell.enrolling import enrol
    from ..shell.reaching import reach
    from ..transports.links import Address

    teller, where, fingerprint = Teller(as_json=as_json), Address.parse(link), read_fingerprint(central)
    check_place(request)
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)

        async def main() -> None:
            connection = await reach(where, seconds=wait)
            enrolled = await enrol(owner, connection.stream, fingerprint, show=teller.show)
            pem.write_request(request, enrolled.request)

        run_async(main)
    if not as_json:
        say(f"our signing key is entered; have {request} approved by two people")


@card.command()
@store_options()
@click.option("--link", required=True, help="tcp:HOST:PORT where insitu central serve --card-listen waits.")
@click.option("--central", help="SHA-256 of the central system's key; without it, the one that this card certified.")
@click.option("--wait", type=WAIT, default=0.0, help="Seconds to go on trying to reach it.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def sync(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    link: str,
    central: str | None,
    wait: float,
    as_json: bool,
) -> None:
    """Bring our log to the central system, and keep its receipt for what it has read.

    It takes what it has not read yet. Where it asks for logs (central serve --require-logged), it lets modules in once
    their certificates have come.
    """
    from ..shell.reaching import reach
    from ..shell.syncing import sync as bring
    from ..transports.links import Address

    teller, where = Teller(as_json=as_json), Address.parse(link)
    told = None if central is None else read_fingerprint(central)
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        meant = told or owner.central_key

        async def main() -> None:
            connection = await reach(where, seconds=wait)
            await bring(owner, connection.stream, meant, show=teller.show)

        run_async(main)


@card.command()
@store_options()
@click.option("--module", "serials", multiple=True, help="All certificates of the module with this serial number.")
@click.option("--certificate", "files", type=PATH, multiple=True, help="This certificate, made by the card (PEM).")
@partial(people_options, required=False)
@click.option(
    "--days", default=LIST_DAYS, show_default=True, type=click.IntRange(1, 3650), help="Validity of the list."
)
@click.option("--out", type=PATH, help="Where to write the list once approved (PEM).")
def revoke(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    serials: tuple[str, ...],
    files: tuple[Path, ...],
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    days: int,
    out: Path | None,
) -> None:
    """Revoke certificates that the card made: they are on the next list, and on all after it.

    The list is signed as soon as two different people have approved exactly this one. Without --person nobody has yet.
    """
    if not serials and not files:
        raise UsageError("what to revoke", expected="--module or --certificate", got="nothing")
    certificates = [(file, pem.read_certificate(file)) for file in files]
    if out is not None:
        check_place(out)
    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    approvers = Approvers(people, pin_files)

    def propose(owner: Card) -> list[ListJob]:
        added = {number for serial in serials for number in owner.numbers_of(serial)}
        for file, der in certificates:
            with about(file):
                added.add(owner.number_of(der))
        return [owner.propose_list(added, days=days)]

    with approving(reopen, propose, approvers) as (owner, (job,), pins):
        _sign_list(owner, job, pins, out)


@card.command()
@store_options()
@click.option("--person", "people", multiple=True, help="Renew the list: who approves; several if they sit together.")
@click.option("--pin-file", "pin_files", multiple=True, help="PERSON=FILE with that person's PIN, mode 0600.")
@click.option("--days", default=LIST_DAYS, show_default=True, type=click.IntRange(1, 3650), help="Of a renewed list.")
@click.option("--out", type=PATH, required=True, help="Where to write the list (PEM).")
def crl(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    days: int,
    out: Path,
) -> None:
    """Write the last revocation list; with --person a new one of the same certificates, once two have approved it."""
    check_place(out)
    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    approvers = Approvers(people, pin_files)

    def renew(owner: Card) -> list[ListJob]:
        return [owner.propose_list(days=days)]

    if approvers:
        with approving(reopen, renew, approvers) as (owner, (job,), pins):
            _sign_list(owner, job, pins, out)
        return
    with opened(reopen) as vault:
        owner = Card(vault)
        last = read_crl(owner.crl, owner.customer)
        if last.number != owner.list_number:
            raise StateError(
                f"list {owner.list_number} was not signed, and list {last.number} is out of date",
                who="card",
                expected="a new one, with --person",
                got="none",
            )
        pem.write_crl(out, last.der)
    say(f"list {last.number}, {len(last.revoked)} certificates revoked, until {time_text(last.next_update)}: {out}")


def _sign_list(owner: Card, job: ListJob, pins: dict[str, bytes], out: Path | None) -> None:
    approvals = enter_approvals(owner, job, pins)
    adds = ", ".join(number.hex() for number in job.added) or "nothing"
    if len(approvals) == 2:
        der = owner.sign_list(job.number)
        if out is not None:
            pem.write_crl(out, der)
    done = "signed" if out is None else f"signed, in {out}"
    say(f"list {job.list_number} adds {adds}, job {job.number.hex()}: {approved_text(approvals, done)}")


@card.command()
@store_options()
@click.option("--count", required=True, type=click.IntRange(1, MOST_TICKETS), help="How many; one a module.")
@people_options
@store_options("out", prefix="out-", token=False)
def tickets(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    count: int,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    out: Path,
    out_passphrase_file: Path | None,
    out_passphrase_hook: str | None,
) -> None:
    """Make tickets for the manufacturer, with which it vouches for modules under --trust ticket.

    They leave as soon as two different people have approved exactly this number of them, in a sealed file. Whoever
    opens it can vouch for modules: tell the manufacturer its passphrase on another way.
    """
    check_new(out)
    reopen = store_opener(store, StoreKind.CARD, passphrase_file, passphrase_hook)
    approvers = Approvers(people, pin_files)

    def propose(owner: Card) -> list[Job]:
        return [owner.propose(CardRole.TICKETS, str(count), days=1)]

    with approving(reopen, propose, approvers) as (owner, (job,), pins):
        approvals = enter_approvals(owner, job, pins)
        done = ""
        if len(approvals) == 2:
            with create_store(out, StoreKind.TICKETS, out_passphrase_file, out_passphrase_hook) as file:
                order = owner.order_tickets(job.number)
                file.commit(encode_record(order), frozenset())
            done = f"numbers {order.first} to {order.first + count - 1} in {out}"
    say(f"{count} tickets, job {job.number.hex()}: {approved_text(approvals, done)}")


@card.command()
@store_options()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, as_json: bool) -> None:
    """People and their tries, jobs and their approvals, certificates, standing approvals, lists, log and room."""
    with open_store(store, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        facts, lines = status_of(owner), status_lines(owner)
    emit(as_json, facts, "\n".join(lines))
