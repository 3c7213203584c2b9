"""insitu unit: personalize a module with the customer's card."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from ..protocol.channel.trust import SHIPPED_BYTES
from ..protocol.engine import PublicKey, StateError, UsageError
from ..protocol.keys.certificates import fingerprint_text
from ..protocol.keys.codes import read_code
from ..protocol.keys.profile import PLAUSIBILITY
from ..protocol.messages import KeyPolicy, TrustOption
from ..protocol.parties.unit import ModulePersonalized, ModuleReported
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.calls import Calls
from ..shell.card import Card
from ..shell.passphrase import passphrase
from ..shell.reaching import reach
from ..shell.serving import while_serving
from ..shell.telling import key_fingerprint, status_facts
from ..shell.trusting import NOTHING, Means, check_certified
from ..shell.unit import Unit
from ..transports.tap import Tap
from .calls import CallOptions, call_options, call_ports, switchboard
from .common import (
    OPTIONS,
    PATH,
    Group,
    Teller,
    about,
    check_place,
    emit,
    open_book,
    open_store,
    parse_link,
    run_async,
    say,
    store_options,
    trust_options,
)
from .unit_service import add_commands

IDENTIFYING: Final = (TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY)
"""Options under which a module proves an identity that its manufacturer can revoke."""


@click.group(cls=Group)
def unit() -> None:
    """The personalization unit with the card."""


@unit.command()
@store_options("card")
@trust_options
@click.option("--serial", required=True, help="The module that the approved job is for; no other is personalized.")
@click.option("--central", type=PATH, required=True, help="The central system's certificate, made by this card (PEM).")
@click.option(
    "--crl",
    type=PATH,
    help="The manufacturer's revocation list (PEM); the card keeps it, and refuses modules on it.",
)
@click.option("--manufactured-key", is_flag=True, help="Admit a key pair made at manufacture, if there is one.")
@click.option("--shipped-key-file", type=PATH, help="File of mode 0600 or 0400 with the key out of the documents.")
@click.option("--secret-file", type=PATH, help="The secret that the module was told: a file of mode 0600 or 0400.")
@click.option("--book", type=PATH, help="The unit's book (insitu tan init): its TANs and counts of wrong attempts.")
@click.option("--book-passphrase-file", type=PATH, help="File of mode 0600 or 0400 that unseals the book.")
@call_options()
@click.option("--no-identity", is_flag=True, help="The module has no identity to prove (--trust secret).")
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
    declare_numeric_comparison: bool,
    serial: str,
    central: Path,
    crl: Path | None,
    manufactured_key: bool,
    shipped_key_file: Path | None,
    secret_file: Path | None,
    book: Path | None,
    book_passphrase_file: Path | None,
    conveyed: CallOptions,
    no_identity: bool,
    out: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Personalize a module that two people approved.

    Without an approval, a module that the card certified before is asked whether it operates: so a confirmation that
    got lost is recognised. Under --trust physical you are asked to compare fingerprints before anything is signed.
    """
    teller = Teller(as_json=as_json)
    where = parse_link(link, trust, numeric_comparison=declare_numeric_comparison)
    if crl is not None and OPTIONS[trust] not in IDENTIFYING:
        raise UsageError("a revocation list names identities", expected="--trust certificates", got=f"--trust {trust}")
    central_der = pem.read_certificate(central)
    if out is not None:
        check_place(out)
    if OPTIONS[trust] in (TrustOption.SECRET, TrustOption.TAN):
        means = _means_by_book(OPTIONS[trust], secret_file, book, book_passphrase_file, identified=not no_identity)
    else:
        means = _means(OPTIONS[trust], serial, shipped_key_file)
    board = switchboard(OPTIONS[trust], conveyed, teller.show)
    policy = KeyPolicy.MANUFACTURE_ADMITTED if manufactured_key else KeyPolicy.NEW
    with open_store(card, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        check_certified(owner, OPTIONS[trust])
        with about(central):
            given = (lambda _: means) if board is None else (lambda serial: Means(mobiles=board.place(serial)))
            here = Unit(owner, central_der, compare=_ask_person, means=given, blocking=True, show=teller.show)
        if crl is not None:
            with about(crl):
                here.heed(pem.read_crl(crl))

        own = owner.record.name, owner.authentication, owner.keys
        ports = call_ports(None if board is None else Calls(board, *own, tell=teller.error), conveyed, teller.error)

        async def meet() -> None:
            expected = _certified_before(owner, here, serial)
            connection = await reach(where, declared_wired=declare_wired, seconds=wait)
            wire, wired = Tap(connection.stream), connection.attests_wired
            if expected is not None:
                reported = await here.inquire(wire, serial, OPTIONS[trust], wired=wired)
                if reported.status.fingerprint != expected:
                    raise _not_now(reported)
                text = f"module {serial} operates with the certificate that the log names"
                emit(as_json, _result(serial, expected, wire), text)
                return
            result = await here.personalize(wire, serial, OPTIONS[trust], wired=wired, policy=policy)
            if not isinstance(result, ModulePersonalized):
                raise _not_now(result)
            fingerprint = sha256(result.certificate).digest()
            text = f"module {serial} is personalized: certificate {fingerprint_text(fingerprint)}"
            if owner.is_circular:
                text += f"; our own certificate is circular: {PLAUSIBILITY}"
            try:
                if out is not None:
                    pem.write_certificate(out, result.certificate)
            finally:  # the module operates, whether its certificate could be written here or not
                facts = {**_result(serial, fingerprint, wire), "circular": owner.is_circular}
                emit(as_json, facts, text)

        run_async(partial(while_serving, ports, teller.mobiles, meet))


def _means_by_book(
    option: TrustOption, secret: Path | None, book: Path | None, book_passphrase: Path | None, *, identified: bool
) -> Means:
    """What this person and the unit's book contribute to option secret or tan.

    Raises:
        UsageError: no book, or one that does not open.

    """
    if book is None:
        raise UsageError(f"trust option {option.text}", who="unit", expected="--book", got="none")
    opened = open_book(book, book_passphrase, None)
    if option is TrustOption.TAN:
        return Means(book=opened)
    told = passphrase(file=secret, prompt="Secret of the module: ")
    return Means(secret=told.reveal(), book=opened, identified=identified)


def _certified_before(owner: Card, here: Unit, serial: str) -> bytes | None:
    """Without an approved job: the certificate that the card made last for this module, if it made one.

    Its confirmation may have been lost; then the module operates, and is asked instead of being personalized again.

    Raises:
        StateError: there is neither a job nor a certificate.

    """
    try:
        here.check(serial)
    except StateError:
        expected = owner.certified(serial)
        if expected is None:
            raise
        return expected
    return None


def _means(option: TrustOption, serial: str, shipped_key_file: Path | None) -> Means:
    """What a person contributes to this option: asked before the link is opened.

    Raises:
        UsageError: not what was asked for, or a file for another option.

    """
    if option is TrustOption.SHIPPED_KEY:
        typed = passphrase(file=shipped_key_file, prompt=f"Key out of the documents of {serial}: ")
        return Means(shipped_key=read_code(typed.reveal().decode(errors="replace"), SHIPPED_BYTES))
    if shipped_key_file is not None:
        raise UsageError("--shipped-key-file", expected="--trust shipped-key", got=f"--trust {option.text}")
    return NOTHING


def _ask_person(public: PublicKey) -> bool:
    """Ask in a thread of its own; without Python's own stream, which that would hold locked as the program ends."""
    say(f"Does the module show {key_fingerprint(public)}? [y/N]", err=True)
    answer = b""
    with suppress(OSError):
        while not answer.endswith(b"\n") and (typed := os.read(0, 100)):
            answer += typed
    return answer.strip().lower() in (b"y", b"yes")


def _result(serial: str, certificate: bytes, wire: Tap) -> dict[str, object]:
    return {
        "note": "Result",
        "party": "unit",
        "ok": True,
        "serial": serial,
        "certificate": fingerprint_text(certificate),
        "sent": wire.sent,
        "received": wire.received,
    }


def _not_now(reported: ModuleReported) -> StateError:
    facts = status_facts(reported.status)
    return StateError(
        f"module {reported.serial} is not to be personalized now",
        who="unit",
        expected="a delivered or reset module",
        got=f"{facts['state']}, epoch {facts['epoch']}, certificate {facts['certificate']}",
    )


add_commands(unit)
