"""insitu manufacturer: root key, customers' signing keys, modules on the bench, revocation."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from ..protocol.channel.trust import SHIPPED_BYTES
from ..protocol.engine import EnvironmentFault, UsageError, given
from ..protocol.keys.certificates import fingerprint_text, trusted_root
from ..protocol.keys.profile import time_text
from ..protocol.keys.revocation import read_crl
from ..protocol.messages import RECORD_LIMITS, TicketOrder, decode_record
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.manufacturer import LIST_DAYS, Manufacturer
from ..shell.places import Place
from ..shell.sheets import write_shipped_key_sheet
from ..shell.telling import key_fingerprint
from .common import (
    PATH,
    Group,
    about,
    check_new,
    check_place,
    create_store,
    open_store,
    say,
    store_options,
)
from .requests import read_told_request


@click.group(cls=Group)
def manufacturer() -> None:
    """The maker of modules: root key, customers, delivery."""


@manufacturer.command()
@store_options()
@click.option("--name", required=True, help="Name in the root certificate.")
@click.option("--root", type=PATH, required=True, help="Where to write the root certificate (PEM).")
def init(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, name: str, root: Path) -> None:
    """Make the root key and its certificate."""
    with create_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault:
        certificate = Manufacturer(vault).establish(name)
        pem.write_certificate(root, certificate)
    say(f"manufacturer {name}: root {fingerprint_text(trusted_root(certificate).fingerprint)}")


@manufacturer.command("sign-customer")
@store_options()
@click.option("--request", type=PATH, required=True, help="The customer's request (PKCS#10, PEM).")
@click.option("--key", help="SHA-256 of the card's signing key, learned over another path; the request must be of it.")
@click.option("--out", type=PATH, required=True, help="Where to write the customer's certificate (PEM).")
def sign_customer(
    store: Place, passphrase_file: Path | None, passphrase_hook: str | None, request: Path, key: str | None, out: Path
) -> None:
    """Certify a customer's signing key."""
    wanted = read_told_request(request, key, who="manufacturer")
    check_place(out)
    with open_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault, about(request):
        certificate = Manufacturer(vault).sign_customer(wanted.der)
    pem.write_certificate(out, certificate)
    say(f"customer {wanted.subject} certified, key {key_fingerprint(wanted.public)}: {out}")


@manufacturer.command("take-tickets")
@store_options()
@store_options("tickets", prefix="tickets-", token=False)
def take_tickets(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    tickets: Path,
    tickets_passphrase_file: Path | None,
    tickets_passphrase_hook: str | None,
) -> None:
    """Take in a customer's tickets, for modules that initialize-module --ticket delivers. The file is removed."""
    with open_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault:
        with open_store(tickets, StoreKind.TICKETS, tickets_passphrase_file, tickets_passphrase_hook) as file:
            if file.record is None:
                raise UsageError(f"{tickets} is not complete", expected="tickets of a card", got="none")
            order = decode_record(TicketOrder, file.record, **RECORD_LIMITS)
        left = Manufacturer(vault).take_tickets(order)
    try:
        tickets.unlink()
    except OSError as error:
        raise EnvironmentFault(f"taken in, but {tickets} cannot be removed", got=error.strerror) from None
    say(f"{len(order.keys)} tickets of {order.customer} taken in, {left} of them are here; {tickets} is removed")


@manufacturer.command("initialize-module")
@store_options()
@store_options("module", prefix="module-")
@click.option("--serial", required=True, help="Serial number of the module.")
@click.option("--no-identity", is_flag=True, help="Without an identity key; such a module knows --trust physical only.")
@click.option(
    "--manufactured-key", is_flag=True, help="Also make the key pair that the first personalization may use by policy."
)
@click.option(
    "--admit-circular",
    is_flag=True,
    help="Over a cable (--trust physical), also take a customer whom we did not certify: a plausibility check only.",
)
@click.option("--ticket", help="Use up a ticket of this customer for the identity: see take-tickets.")
@click.option(
    "--shipped-key-sheet",
    type=PATH,
    help="Also a random key for --trust shipped-key; write the documents' sheet (HTML).",
)
def initialize_module(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    module: Place,
    module_passphrase_file: Path | None,
    module_passphrase_hook: str | None,
    serial: str,
    no_identity: bool,
    manufactured_key: bool,
    admit_circular: bool,
    ticket: str | None,
    shipped_key_sheet: Path | None,
) -> None:
    """Deliver a module: serial number, root key, and an identity made inside it."""
    from ..shell.module import Module  # which can also run; the other commands here load faster without

    if ticket is not None and no_identity:
        raise UsageError("a ticket vouches for an identity", expected="no --no-identity", got="both")
    key = None if shipped_key_sheet is None else secrets.token_bytes(SHIPPED_BYTES)
    if shipped_key_sheet is not None:
        check_new(shipped_key_sheet)
    with open_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault:
        maker = Manufacturer(vault)
        with create_store(module, StoreKind.MODULE, module_passphrase_file, module_passphrase_hook) as memory:
            Module(memory).initialize(
                serial,
                maker.root,
                None if no_identity else lambda made: maker.certify_identity(made.serial, made.key.public),
                manufactured_key=manufactured_key,
                shipped_key=key,
                circular=admit_circular,
                ticket=None
                if ticket is None
                else lambda made: maker.certify_by_ticket(ticket, serial, made.key.public),
            )
            if key is not None and shipped_key_sheet is not None:
                write_shipped_key_sheet(shipped_key_sheet, maker.record.name, serial, key)
    say(f"module {serial} delivered: {module}")


@manufacturer.command()
@store_options()
@click.option("--serial", help="The identity of the module with this serial number.")
@click.option("--customer", help="The signing key of the customer of this name, if it has one only.")
@click.option("--certificate", type=PATH, help="This certificate of a customer or of a module's identity (PEM).")
def revoke(
    store: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    serial: str | None,
    customer: str | None,
    certificate: Path | None,
) -> None:
    """Enter that a certificate counts no more. Nobody learns of it before the next list: insitu manufacturer crl."""
    if sum(word is not None for word in (serial, customer, certificate)) != 1:
        raise UsageError("what to revoke", expected="one of --serial, --customer, --certificate")
    with open_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault:
        here = Manufacturer(vault)
        if serial is not None:
            number = here.number_of_module(serial)
        elif customer is not None:
            number = here.number_of_customer(customer)
        else:
            number = _number_in(here, given(certificate))
        here.revoke(number)
    say(f"certificate {number.hex()} is revoked from the next list on")


def _number_in(here: Manufacturer, file: Path) -> bytes:
    der = pem.read_certificate(file)
    with about(file):
        return here.number_of(der)


@manufacturer.command()
@store_options()
@click.option(
    "--days", default=LIST_DAYS, show_default=True, type=click.IntRange(1, 3650), help="Validity of the list."
)
@click.option("--out", type=PATH, required=True, help="Where to write the list (PEM).")
def crl(store: Place, passphrase_file: Path | None, passphrase_hook: str | None, days: int, out: Path) -> None:
    """Sign a new revocation list of identities and customers' signing keys."""
    check_place(out)
    with open_store(store, StoreKind.MANUFACTURER, passphrase_file, passphrase_hook) as vault:
        here = Manufacturer(vault)
        crl = read_crl(here.sign_list(days), trusted_root(here.root))
    pem.write_crl(out, crl.der)
    say(f"list {crl.number}, {len(crl.revoked)} certificates revoked, until {time_text(crl.next_update)}: {out}")
