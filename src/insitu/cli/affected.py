"""insitu central affected: whom the loss of a card concerns, and what has to be done about each."""

from __future__ import annotations

from pathlib import Path

import click

from ..protocol.keys.certificates import fingerprint_text, read_fingerprint
from ..protocol.keys.profile import time_text
from ..protocol.parties.log_reading import Made, made_in
from ..shell import pem
from ..shell.affected import Affected, Fate, affected_by, find_issuer, replacements
from ..shell.logs import customer_certificate
from .common import PATH, about, emit, say
from .log import read_export
from .registry import opened_registry, place_options

WORDS = {
    Fate.ADMITTED: "the key is not disabled",
    Fate.KEPT: "known before the loss, and stays by policy",
    Fate.REFUSED: "reset it, by hand or with insitu central reset, then personalize it again",
    Fate.RESET_ORDERED: "it is reset at its next contact; then personalize it again",
    Fate.RESET: "personalize it again",
    Fate.DISABLED: "disabled by itself; insitu central enable lets it in once it is personalized again",
}


@click.command()
@place_options
@click.option("--issuer", type=PATH, required=True, help="Certificate of the card's signing key (PEM).")
@click.option("--log", type=PATH, help="The card's log, if it was exported before: it names modules that never came.")
@click.option("--root", type=PATH, help="The manufacturer's root certificate (PEM), to verify the log; with --log.")
@click.option("--central", type=PATH, help="The central system's certificate (PEM), if that certified the card itself.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def affected(
    store: Path | None,
    registry: str | None,
    issuer: Path,
    log: Path | None,
    root: Path | None,
    central: Path | None,
    as_json: bool,
) -> None:
    """List the modules that a card certified: which may still work, and which must be personalized again.

    Meant for a card that is lost, before or after insitu central disable. A module that another card has certified by
    now is not on the list.
    """
    certificate = pem.read_certificate(issuer)
    fingerprint = read_fingerprint(certificate)
    made = [] if log is None else _made(log, certificate, root, central)
    with opened_registry(store, registry) as opened:
        lost = find_issuer(opened, fingerprint)
        others = replacements(opened, lost)
        by = [fingerprint_text(each.fingerprint) for each in others]
        counted = again = 0
        for each in affected_by(opened, lost, made):
            emit(as_json, {**_facts(each), "owner": lost.owner, "by": by}, _line(each))
            counted += 1
            again += each.again
    if as_json:
        return
    text = f"{counted} modules by this key, {again} to be personalized again"
    if again:
        text += (
            f", by a card of {lost.owner}: {' or '.join(by)}" if by else f"; no other card of {lost.owner} is trusted"
        )
    say(text)


def _made(log: Path, issuer: bytes, root: Path | None, central: Path | None) -> list[Made]:
    """What the card made, as its log proves."""
    anchors = (None if path is None else pem.read_certificate(path) for path in (root, central))
    with about(log):
        return list(made_in(read_export(log).log, customer_certificate(issuer, *anchors)))


def _facts(each: Affected) -> dict[str, object]:
    return {
        "serial": each.serial,
        "state": each.fate.value,
        "again": each.again,
        "certified": time_text(each.certified),
        "known_since": None if each.known_since is None else time_text(each.known_since),
        "last_contact": None if each.last_contact is None else time_text(each.last_contact),
        "certificate": fingerprint_text(each.fingerprint),
    }


def _line(each: Affected) -> str:
    known = "never here" if each.known_since is None else f"here since {time_text(each.known_since)}"
    last = "" if each.last_contact is None else f", last contact {time_text(each.last_contact)}"
    times = f"certified {time_text(each.certified)}, {known}{last}"
    return f"{each.serial}  {each.fate.value}: {times}; {WORDS[each.fate]}"
