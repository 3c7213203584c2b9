"""insitu unit: personalize a module with the customer's card."""

from __future__ import annotations

from pathlib import Path

import click

from ..protocol.engine import StateError
from ..protocol.messages import KeyPolicy
from ..protocol.parties.unit import ModulePersonalized
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.card import Card
from ..shell.reaching import reach
from ..shell.telling import certificate_fingerprint, status_facts
from ..shell.unit import Unit
from ..transports.tap import Tap
from .common import (
    OPTIONS,
    PATH,
    Group,
    Teller,
    about,
    check_place,
    emit,
    open_store,
    parse_link,
    run_async,
    store_options,
    trust_options,
)


@click.group(cls=Group)
def unit() -> None:
    """The personalization unit: a computer with the customer's card."""


@unit.command()
@store_options("card")
@trust_options
@click.option("--serial", required=True, help="The module that the approved job is for; no other is personalized.")
@click.option("--central", type=PATH, required=True, help="The central system's certificate, made by this card (PEM).")
@click.option("--manufactured-key", is_flag=True, help="Admit a key pair made at manufacture, if there is one.")
@click.option("--out", type=PATH, help="Where to write the module's certificate (PEM).")
@click.option("--wait", type=click.FloatRange(0, 3600), default=0.0, help="Seconds to go on trying for the module.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line; the last one is the result.")
def personalize(
    card: Path,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    link: str,
    trust: str,
    declare_wired: bool,
    serial: str,
    central: Path,
    manufactured_key: bool,
    out: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Personalize one module over the link; two people have approved it on the card before."""
    teller = Teller(as_json=as_json)
    where = parse_link(link, trust)
    central_der = pem.read_certificate(central)
    if out is not None:
        check_place(out)
    policy = KeyPolicy.MANUFACTURE_ADMITTED if manufactured_key else KeyPolicy.NEW
    with open_store(card, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        with about(central):
            here = Unit(Card(vault), central_der, show=teller.show)

        async def main() -> None:
            here.check(serial)
            connection = await reach(where, declared_wired=declare_wired, seconds=wait)
            wire = Tap(connection.stream)
            result = await here.personalize(wire, serial, OPTIONS[trust], wired=connection.attests_wired, policy=policy)
            if not isinstance(result, ModulePersonalized):
                facts = status_facts(result.status)
                raise StateError(
                    f"module {serial} is not to be personalized now",
                    who="unit",
                    expected="a delivered or reset module",
                    got=f"{facts['state']}, epoch {facts['epoch']}, certificate {facts['certificate']}",
                )
            fingerprint = certificate_fingerprint(result.certificate)
            facts = {
                "note": "Result",
                "party": "unit",
                "ok": True,
                "serial": serial,
                "certificate": fingerprint,
                "sent": wire.sent,
                "received": wire.received,
            }
            try:
                if out is not None:
                    pem.write_certificate(out, result.certificate)
            finally:  # the module operates, whether its certificate could be written here or not
                emit(as_json, facts, f"module {serial} is personalized: certificate {fingerprint}")

        run_async(main)
