"""insitu central, continued: the logs that cards have brought, listed and given out again."""

from __future__ import annotations

from pathlib import Path

import click

from ..protocol.keys.certificates import fingerprint_text, read_fingerprint
from ..protocol.keys.profile import time_text
from ..protocol.stores.card_logs import all_lines
from ..protocol.stores.log_lines import Export, read_entries
from ..shell import pem
from .common import PATH, emit, say
from .log import check_log_place, write_log
from .registry import opened_registry, place_options


@click.command("card-logs")
@place_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def card_logs(store: Path | None, registry: str | None, as_json: bool) -> None:
    """List the cards: how far the log of each was read, and whether something speaks against it."""
    with opened_registry(store, registry) as opened:
        for issuer in opened.issuers():
            log = opened.card_log(issuer.fingerprint)
            read = time_text(log.read) if log.read else None
            facts: dict[str, object] = {
                "owner": issuer.owner,
                "card": fingerprint_text(issuer.fingerprint),
                "entries": log.entries,
                "signatures": log.signatures,
                "digest": log.digest.hex(),
                "read": read,
                "doubt": log.doubt or None,
            }
            text = f"{issuer.owner}, card {facts['card']}: "
            text += f"{log.entries} entries, {log.signatures} signatures, read {read}" if read else "never read"
            emit(as_json, facts, f"{text}; IN DOUBT: {log.doubt}" if log.doubt else text)


@click.command("card-log")
@place_options
@click.option("--card", type=PATH, required=True, help="The certificate of the card's signing key (PEM).")
@click.option("--out", type=PATH, required=True, help="Where to write the log (JSON Lines).")
def card_log(store: Path | None, registry: str | None, card: Path, out: Path) -> None:
    """Give out what was read of a card's log, with its head and our receipt, as insitu log takes it."""
    check_log_place(out)
    issuer = read_fingerprint(pem.read_certificate(card))
    with opened_registry(store, registry) as opened:
        log, lines = opened.card_log(issuer), all_lines(opened, issuer)
    write_log(out, Export(read_entries(lines), log.head or None, log.receipt or None))
    say(f"{len(lines)} entries in {out}")
