"""insitu central: key, trusted customers, certificate, sessions with modules. Its registry's commands: registry.py."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import trio

from ..protocol.engine import UsageError
from ..protocol.keys.certificates import fingerprint_text, trusted_root
from ..protocol.keys.profile import PLAUSIBILITY
from ..protocol.messages import Authorize, PayOut
from ..protocol.stores.memory_registry import MemoryRegistry
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.central import Central
from ..shell.central_program import CentralProgram
from ..shell.health import Metrics, serving_health
from ..shell.places import Place
from ..shell.programs import input_lines
from ..shell.telling import key_fingerprint
from ..transports.links import Address
from .affected import affected
from .calls import CallOptions, call_options, call_ports
from .card_logs import card_log, card_logs
from .common import (
    PATH,
    STORE,
    Group,
    Teller,
    about,
    check_place,
    create_store,
    read_fingerprint,
    run_async,
    say,
    store_opener,
    store_options,
)
from .registry import actor, add_commands, open_central, registry_option, share
from .unit_service import Serving, serving_options, unit_gauges, unit_lacks, unit_service

if TYPE_CHECKING:
    from ..shell.card import Card
    from ..shell.unit_service import UnitService
from .requests import read_told_request


@click.group(cls=Group)
def central() -> None:
    """The central system, the bank's host."""


@central.command()
@store_options()
@click.option("--name", required=True, help="Name of the central system.")
@click.option("--request", type=PATH, required=True, help="Where to write the request for the customer's card (PEM).")
def init(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, name: str, request: Path) -> None:
    """Make the central system's key pair."""
    with create_store(store, StoreKind.CENTRAL, passphrase_file, passphrase_hook) as vault:
        made = Central(vault, MemoryRegistry())
        pem.write_request(request, made.establish(name))
        say(f"central system {name}: have {request} certified by the card")
        say(f"our key {key_fingerprint(made.key.public)}: tell it to who has the card")


@central.command()
@store_options()
@registry_option
@click.option("--root", type=PATH, required=True, help="The manufacturer's root certificate (PEM).")
@click.option("--fingerprint", required=True, help="SHA-256 of the root certificate, learned over another path.")
@click.option("--customer", type=PATH, required=True, help="The customer's certificate, signed by the root (PEM).")
def trust(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    registry: str | None,
    root: Path,
    fingerprint: str,
    customer: Path,
) -> None:
    """Admit the modules that a customer's card certifies."""
    root_der, customer_der = _compared_root(root, fingerprint), pem.read_certificate(customer)
    with open_central(store, registry, passphrase_file, passphrase_hook) as here, about(customer):
        verified = here.trust(root_der, customer_der, actor=actor())
    say(f"customer {verified.subject} is trusted: {fingerprint_text(verified.fingerprint)}")


@central.command("certify-customer")
@store_options()
@registry_option
@click.option("--request", type=PATH, required=True, help="The request of the customer's card (PEM).")
@click.option("--key", required=True, help="SHA-256 of the card's signing key, learned over another path.")
@click.option("--days", default=3650, show_default=True, type=click.IntRange(1, 36500), help="Validity.")
@click.option("--out", type=PATH, required=True, help="Where to write the customer's certificate (PEM).")
def certify_customer(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    registry: str | None,
    request: Path,
    key: str,
    days: int,
    out: Path,
) -> None:
    """Certify a card's signing key ourselves and admit the modules that it certifies.

    For a card that no manufacturer certified, and modules delivered with --admit-circular. To them it proves nothing:
    a plausibility check only.
    """
    check_place(out)
    wanted = read_told_request(request, key, who="central")
    with open_central(store, registry, passphrase_file, passphrase_hook) as here:
        verified = here.certify_customer(wanted, days=days, actor=actor())
        pem.write_certificate(out, verified.der)
    say(f"customer {verified.subject} is trusted: {fingerprint_text(verified.fingerprint)}; {out}: {PLAUSIBILITY}")


@central.command("enroll-card")
@store_options()
@registry_option
@click.option("--listen", required=True, help="tcp:HOST:PORT where the card turns up (insitu card enroll).")
@click.option("--card", required=True, help="SHA-256 of the card's certificate, learned over another path.")
@click.option("--root", type=PATH, help="The manufacturer's root certificate (PEM), if none is trusted yet.")
@click.option("--fingerprint", help="SHA-256 of the root certificate, learned over another path.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def enroll_card(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    registry: str | None,
    listen: str,
    card: str,
    root: Path | None,
    fingerprint: str | None,
    as_json: bool,
) -> None:
    """Take a card's signing key in over a link, and hand it our request for a certificate. Ends when that is done.

    Each side is told the other's fingerprint beforehand; whoever else turns up is refused.
    """
    from ..shell.enrolling import wait_for_card

    if (root is None) != (fingerprint is None):
        raise UsageError("the manufacturer's root", who="central", expected="--root and --fingerprint", got="one")
    teller, where, meant = Teller(as_json=as_json), Address.parse(listen), read_fingerprint(card)
    root_der = None if root is None or fingerprint is None else _compared_root(root, fingerprint)
    with open_central(store, registry, passphrase_file, passphrase_hook) as here:
        anchor = root_der or here.record.root
        if anchor is None:
            raise UsageError("nobody is trusted yet", who="central", expected="--root and --fingerprint", got="neither")
        here.check_root(anchor)

        async def main() -> None:
            about_it: dict[str, Any] = {"actor": actor(), "tell": teller.error, "show": teller.show}
            await wait_for_card(here, where, anchor, meant, ready=lambda at: teller.ready("ENROLLING", at), **about_it)

        run_async(main)


def _compared_root(root: Path, fingerprint: str) -> bytes:
    """The manufacturer's certificate (DER), if it has the fingerprint that was learned over another path."""
    der = pem.read_certificate(root)
    with about(root):
        found = trusted_root(der).fingerprint
    told = read_fingerprint(fingerprint)
    if found != told:
        expected = fingerprint_text(told)
        raise UsageError(
            f"{root} is not the root that was meant", who="central", expected=expected, got=fingerprint_text(found)
        )
    return der


@central.command()
@store_options()
@registry_option
@click.option("--certificate", type=PATH, required=True, help="Our certificate, made by the customer's card (PEM).")
def install(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    registry: str | None,
    certificate: Path,
) -> None:
    """Keep the certificate that the card made for our key."""
    der = pem.read_certificate(certificate)
    with open_central(store, registry, passphrase_file, passphrase_hook) as here, about(certificate):
        here.install(der)
    say("certificate installed")


@central.command()
@store_options()
@registry_option
@click.option("--listen", required=True, help="tcp:HOST:PORT to listen at.")
@click.option(
    "--certificate", type=PATH, help="Show this one (PEM) instead of the one installed: modules pin that of their card."
)
@click.option(
    "--limit", type=click.IntRange(0), default=0, show_default=True, help="Approve amounts up to this, in minor units."
)
@click.option("--health", help="tcp:HOST:PORT for /alive, /ready and /metrics over HTTP; nobody is asked who he is.")
@click.option("--commands", is_flag=True, help='Take commands on standard input: {"reset": SERIAL}, one a line.')
@click.option("--with-unit", type=STORE, help="Also personalize modules, with this card: a sealed file or token.")
@click.option("--unit-passphrase-file", type=PATH, help="File of mode 0600 or 0400 that unseals the card.")
@click.option("--unit-passphrase-hook", help="Command whose output unseals the card.")
@click.option("--unit-listen", help="tcp:HOST:PORT where modules call for their personalization.")
@click.option("--card-listen", help="tcp:HOST:PORT where cards bring their logs (insitu card sync).")
@click.option("--require-logged", is_flag=True, help="Let modules in only whose certificate its card's log has.")
@click.option(
    "--log-grace",
    type=click.IntRange(0, 366 * 86400),
    default=0,
    show_default=True,
    help="Seconds that a module may work meanwhile whose card's log was not read so far yet.",
)
@serving_options("unit-")
@call_options("unit-")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line.")
def serve(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    registry: str | None,
    listen: str,
    certificate: Path | None,
    limit: int,
    health: str | None,
    commands: bool,
    with_unit: Place | None,
    unit_passphrase_file: Path | None,
    unit_passphrase_hook: str | None,
    unit_listen: str | None,
    card_listen: str | None,
    require_logged: bool,
    log_grace: int,
    unit_trust: str,
    unit_jobs: Path | None,
    unit_days: int,
    unit_patience: int,
    conveyed: CallOptions,
    unit_book: Path | None,
    unit_book_passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Work with the modules that connect. Runs until it is interrupted.

    With a unit in it (--with-unit), modules are personalized as by insitu unit serve. Its card must have made the
    central system's certificate; once its signing key is disabled here, it certifies nothing more. Its log is read
    after each personalization; other cards bring theirs (--card-listen).
    """
    from ..shell.syncing import read_at_once, serve_cards

    if log_grace and not require_logged:
        raise UsageError("--log-grace", who="central", expected="--require-logged as well", got="it alone")
    cards = None if card_listen is None else Address.parse(card_listen)
    teller = Teller(as_json=as_json)
    where = Address.parse(listen)
    serving = None
    if (with_unit is None) != (unit_listen is None):
        raise UsageError("a unit in the central system", expected="--with-unit and --unit-listen", got="one of them")
    if unit_listen is None and (conveyed.mobiles or conveyed.calls or conveyed.gateway):
        raise UsageError("mobiles", who="central", expected="--with-unit and --unit-trust conveyed", got="no unit")
    if unit_listen is not None:
        book = unit_book, unit_book_passphrase_file
        serving = Serving(unit_listen, unit_trust, unit_jobs, unit_days, unit_patience, conveyed, *book)
        serving.parsed()

    def decide(serial: str, asked: Authorize) -> PayOut:
        approved = asked.amount <= limit
        reference = f"{serial}/{asked.number}"[:64]
        return PayOut(
            number=asked.number, approved=approved, amount=asked.amount if approved else 0, reference=reference
        )

    gauges: dict[str, tuple[str, Callable[[], int]]] = {
        "modules_online": ("Modules with an open session", lambda: len(program.online))
    }
    metrics = Metrics(gauges)

    def show(note: object) -> None:
        metrics.note(note)
        teller.show(note)

    def lacks() -> str:
        registry_lacks = "" if program.registry_answers else "the registry does not answer"
        return ", ".join(filter(None, (registry_lacks, *(unit_lacks(each) for each, _ in units))))

    shown = None if certificate is None else pem.read_certificate(certificate)
    about_it: dict[str, Any] = {"serves": True, "certificate": shown, "decide": decide, "show": show}
    about_it["grace"] = log_grace if require_logged else None
    with ExitStack() as stack:
        with nullcontext() if certificate is None else about(certificate):
            opening = open_central(store, registry, passphrase_file, passphrase_hook, **about_it)
            here = stack.enter_context(opening)
        units: list[tuple[UnitService, Address]] = []
        if with_unit is not None and serving is not None:
            reopen = store_opener(with_unit, StoreKind.CARD, unit_passphrase_file, unit_passphrase_hook)
            tell = teller.error

            def allowed(card: Card) -> None:
                here.check_trusted(card.customer)

            def read_log(card: Card) -> None:
                read_at_once(here, card, show=show)

            rest: dict[str, Any] = {"allowed": allowed, "read": read_log, "tell": tell, "show": show}
            rest["board"] = serving.board(show)
            unit = unit_service(reopen, here.certificate, store, serving, **rest)
            units.append(stack.enter_context(unit))
            gauges |= unit_gauges(units[0][0])
        share(here)
        program = CentralProgram(here, where, tell=teller.error)
        if health is not None:
            teller.ready("HEALTH", stack.enter_context(serving_health(Address.parse(health), metrics, lacks)))

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for each, place in units:
                    for port in call_ports(each.calls, conveyed, teller.error):
                        at: list[Address] = await nursery.start(port)
                        teller.mobiles(str(at[0]))
                    nursery.start_soon(partial(each.run, place, ready=lambda at: teller.ready("SERVING_UNIT", at)))
                if cards is not None:
                    ready = partial(teller.ready, "SERVING_CARDS")
                    nursery.start_soon(partial(serve_cards, here, cards, ready=ready, tell=teller.error, show=show))
                lines = input_lines() if commands else None
                await program.run(ready=lambda at: teller.ready("SERVING", at), requests=lines)

        run_async(main, serves=True)


add_commands(central)
central.add_command(affected)
central.add_command(card_logs)
central.add_command(card_log)
