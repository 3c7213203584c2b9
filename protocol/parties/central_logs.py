"""What the central system's table decides about modules whose certificate their card's log lacks (L12, S5, S6).

The rows are in `central.py`. Where the operator asks for logs, a certificate counts once the log that its card has
brought has it: so a signature that was made outside the log, by a thief of the signing key or a card that cheats, lets
nobody in. A log that was not read far enough is another matter: then the module waits for its card's next contact, or
works on for a grace that the operator grants, counted from the first time that this certificate was shown. There is
none for a card in doubt. A card never dates a certificate before the entry that came last: one that is dated before
what was read and is not in it was made outside, and that is said of its card for good.
"""

from __future__ import annotations

from ..engine import Close, Effects, Fault, LookUp, Persist, given
from ..messages import Beat
from ..stores.card_logs import LogDoubt
from ..stores.registry import Known
from .central_data import CentralData, ModuleFound


def objection_to_log(data: CentralData, known: Known) -> str:
    """Why the certificate does not count as far as logs go; empty if it does, or on time."""
    if data.grace is None or known.logged.holds:
        return ""
    if known.logged.doubt:
        return f"its certificate is not in its card's log, which is in doubt: {known.logged.doubt}"
    if _was_made_outside(data, known):
        return "its certificate was made outside its card's log"
    shown, entry = given(data.peer).chain[0], known.entry
    since = entry.first_seen if entry is not None and entry.fingerprint == shown.fingerprint else data.at
    if data.at < since + data.grace:
        return ""
    return "its certificate waits for its card's log, which was not read so far yet"


def is_on_time(data: CentralData, known: Known) -> bool:
    """Whether the module works though no log has its certificate yet."""
    return data.grace is not None and not known.logged.holds


def _was_made_outside(data: CentralData, known: Known) -> bool:
    return given(data.peer).chain[0].not_before < known.logged.through


# Guards ------------------------------------------------------------------------------------------------------


def it_was_certified_outside_the_log(data: CentralData, event: ModuleFound) -> bool:
    """Its card is trusted, nothing speaks against that card yet, and its log proves that it did not make this."""
    known = event.known
    by = known.issuer
    counts = by is not None and by.lost is None and not known.revoked
    unlogged = is_on_time(data, known) and not known.logged.doubt
    return counts and unlogged and _was_made_outside(data, known)


def its_certificate_is_unlogged(data: CentralData, _: Beat) -> bool:
    """It works on time."""
    return data.unlogged


# Actions -----------------------------------------------------------------------------------------------------


def doubt_its_card(data: CentralData, event: ModuleFound) -> tuple[CentralData, Effects]:
    """Say so of the card for good, and end the session."""
    module, issuer = given(data.peer).chain
    reason = f"certificate {module.fingerprint.hex()} of {module.subject} was made outside its log"
    objection = objection_to_log(data, event.known)
    return data, [Persist(LogDoubt(issuer.fingerprint, reason)), Close(Fault.UNTRUSTED, f"module refused: {objection}")]


def with_look(data: CentralData, effects: Effects) -> tuple[CentralData, Effects]:
    """What a Beat has done otherwise, and a look whether the time is over."""
    return data, [*effects, LookUp("module", data.query)]
