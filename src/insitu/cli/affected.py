"""insitu central affected: whom the loss of a card concerns, and what has to be done about each."""

from __future__ import annotations

from pathlib import Path

import click

from ..protocol.engine import UsageError
from ..protocol.keys.certificates import fingerprint_text, read_fingerprint
from ..protocol.keys.profile import time_text
from ..protocol.stores.card_log import LogEntry, import_lines
from ..shell import pem
from ..shell.affected import Affected, Fate, affected_by, find_issuer, replacements
from .common import PATH, emit, say
from .registry import opened_registry, registry_place

LARGEST_LOG = 64 << 20
"""Bytes of an exported log."""
WORDS = {
    Fate.ADMITTED: "the key is not disabled",
    Fate.KEPT: "known before the loss, and stays by policy",
    Fate.REFUSED: "reset it, by hand or with insitu central reset, then personalize it again",
    Fate.RESET_ORDERED: "it is reset at its next contact; then personalize it again",
    Fate.RESET: "personalize it again",
    Fate.DISABLED: "disabled by itself; insitu central enable lets it in once it is personalized again",
}


@click.command()
@registry_place
@click.option("--issuer", type=PATH, required=True, help="Certificate of the card's signing key (PEM).")
@click.option("--log", type=PATH, help="The card's log, if it was exported before: it names modules that never came.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def affected(store: Path | None, registry: str | None, issuer: Path, log: Path | None, as_json: bool) -> None:
    """List the modules that a card certified: which may still work, and which must be personalized again.

    Meant for a card that is lost, before or after insitu central disable. A module that another card has certified by
    now is not on the list.
    """
    fingerprint = read_fingerprint(pem.read_certificate(issuer))
    entries = () if log is None else _read_log(log)
    with opened_registry(store, registry) as opened:
        lost = find_issuer(opened, fingerprint)
        others = replacements(opened, lost)
        by = [fingerprint_text(each.fingerprint) for each in others]
        counted = again = 0
        for each in affected_by(opened, lost, entries):
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


def _read_log(path: Path) -> tuple[LogEntry, ...]:
    try:
        if path.stat().st_size > LARGEST_LOG:
            raise UsageError(f"{path} is no log", expected=f"at most {LARGEST_LOG} bytes", got="more")
        return import_lines(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}", expected="an exported log", got=error.strerror) from None


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
