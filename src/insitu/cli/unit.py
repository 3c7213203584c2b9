"""insitu unit: personalize a module with the customer's card."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from ..protocol.channel.trust import SHIPPED_BYTES
from ..protocol.channel.trust.options import DESCRIPTIONS
from ..protocol.engine import PublicKey, UsageError
from ..protocol.keys.codes import read_code
from ..protocol.messages import KeyPolicy, TrustOption
from ..protocol.stores.sealed import StoreKind
from ..shell import pem
from ..shell.calls import Calls
from ..shell.card import Card
from ..shell.passphrase import passphrase
from ..shell.places import Place
from ..shell.telling import key_fingerprint
from ..shell.trusting import NOTHING, Means, check_certified
from ..shell.unit import Unit
from .calls import CallOptions, call_options, call_ports, switchboard
from .common import (
    FILE_ONLY,
    OPTIONS,
    PATH,
    WAIT,
    Group,
    Teller,
    about,
    check_place,
    open_book,
    open_store,
    parse_link,
    say,
    store_options,
    trust_options,
)
from .guide import Guide, somebody_is_there
from .people import people_options
from .personalizing import Errand, Personalizing
from .unit_service import add_commands

if TYPE_CHECKING:
    from ..transports.links import Address

IDENTIFYING: Final = (TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY)
"""Options under which a module proves an identity that its manufacturer can revoke."""


@click.group(cls=Group)
def unit() -> None:
    """The personalization unit with the card."""


@unit.command()
@store_options("card")
@partial(trust_options, link_required=False)
@click.option("--serial", help="The module: no other is personalized. Without it you are asked, at a terminal.")
@click.option("--central", type=PATH, help="The central system's certificate, made by this card (PEM).")
@partial(people_options, required=False)
@click.option("--days", default=365, show_default=True, type=click.IntRange(1, 36500), help="Validity, if they do.")
@click.option(
    "--crl",
    type=PATH,
    help="The manufacturer's revocation list (PEM); the card keeps it, and refuses modules on it.",
)
@click.option("--manufactured-key", is_flag=True, help="Admit a key pair made at manufacture, if there is one.")
@click.option("--shipped-key-file", type=PATH, help="File of mode 0600 or 0400 with the key out of the documents.")
@click.option("--secret-file", type=PATH, help="The secret that the module was told: a file of mode 0600 or 0400.")
@click.option(
    "--book", type=FILE_ONLY, help="The unit's book (insitu tan init): its TANs and counts of wrong attempts."
)
@click.option("--book-passphrase-file", type=PATH, help="File of mode 0600 or 0400 that unseals the book.")
@call_options()
@click.option("--no-identity", is_flag=True, help="The module has no identity to prove (--trust secret).")
@click.option("--out", type=PATH, help="Where to write the module's certificate (PEM).")
@click.option("--wait", type=WAIT, default=0.0, help="Seconds to go on trying for the module.")
@click.option("--read-back/--no-read-back", default=None, help="Meet the module once more at the end, and compare.")
@click.option(
    "--yes",
    "agreed",
    is_flag=True,
    help="Do not ask whether to go on, where somebody at a terminal was asked for the rest.",
)
@click.option("--dry-run", is_flag=True, help="Ask the module and show the plan; nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Notes as JSON, one object a line; the last one is the result.")
def personalize(
    card: Place,
    passphrase_file: Path | None,
    passphrase_hook: str | None,
    link: str | None,
    trust: str,
    declare_wired: bool,
    declare_numeric_comparison: bool,
    serial: str | None,
    central: Path | None,
    people: tuple[str, ...],
    pin_files: tuple[str, ...],
    days: int,
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
    read_back: bool | None,
    agreed: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Personalize a module that two people approve, beforehand or here.

    At a terminal you are led through it and asked for what lacks; docs/personalizing.md shows all of it. It can be
    interrupted at any point, and says where things stand; the same command goes on from there. Without an approval, a
    module that the card certified before is asked whether it operates: so a confirmation that got lost is recognised.
    Under --trust physical you are asked to compare fingerprints before anything is signed.
    """
    guide = Guide() if somebody_is_there() and not as_json else None
    teller = guide or Teller(as_json=as_json)
    if pin_files and not people and guide is None:
        raise UsageError("PIN of nobody", expected="--person", got="--pin-file alone")
    parse = partial(parse_link, trust=trust, numeric_comparison=declare_numeric_comparison)
    where: Address | None = None
    if link is not None:
        where = parse(link)
    elif not dry_run:
        where = _there(guide, "--link").choose_link(parse)
    serial = serial or _there(guide, "--serial").ask_serial()
    central = central or _there(guide, "--central").ask_central()
    option = OPTIONS[trust]
    if crl is not None and option not in IDENTIFYING:
        raise UsageError("a revocation list names identities", expected="--trust certificates", got=f"--trust {trust}")
    central_der = pem.read_certificate(central)
    if out is not None:
        check_place(out)
    asks_nobody = dry_run and (where is None or bool(DESCRIPTIONS[option].uses_up))
    if asks_nobody:
        means = NOTHING
    elif option in (TrustOption.SECRET, TrustOption.TAN):
        means = _means_by_book(option, secret_file, book, book_passphrase_file, identified=not no_identity)
    else:
        means = shipped_key(option, serial, shipped_key_file)
    board = None if asks_nobody else switchboard(option, conveyed, teller.show)
    errand = Errand(
        serial,
        option,
        where,
        central_der,
        declared_wired=declare_wired,
        wait=wait,
        policy=KeyPolicy.MANUFACTURE_ADMITTED if manufactured_key else KeyPolicy.NEW,
        days=days,
        people=people,
        pin_files=pin_files,
        out=out,
        dry_run=dry_run,
        read_back=read_back,
        agreed=agreed,
        as_json=as_json,
    )
    with open_store(card, StoreKind.CARD, passphrase_file, passphrase_hook) as vault:
        owner = Card(vault)
        check_certified(owner, option)
        with about(central):
            given = (lambda _: means) if board is None else (lambda serial: Means(mobiles=board.place(serial)))
            here = Unit(owner, central_der, compare=_ask_person, means=given, blocking=True, show=teller.show)
        if crl is not None:
            with about(crl):
                here.heed(pem.read_crl(crl), keep=not dry_run)
        own = owner.record.name, owner.authentication, owner.keys
        ports = call_ports(None if board is None else Calls(board, *own, tell=teller.error), conveyed, teller.error)
        Personalizing(owner, here, errand, teller=teller, guide=guide, ports=ports).run()


def _there(guide: Guide | None, option: str) -> Guide:
    """Who asks the person at the terminal for what an option would have said.

    Raises:
        UsageError: there is nobody.

    """
    if guide is None:
        raise UsageError(f"{option} is missing, and nobody to ask", who="unit", expected=f"{option}, or a terminal")
    return guide


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


def shipped_key(option: TrustOption, serial: str, shipped_key_file: Path | None) -> Means:
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


add_commands(unit)
