"""A card's log as its readers take it, from the card or an exported file: what is in it, and what speaks against it.

Nothing is written here. What a log proves stands in protocol/parties/log_reading.py; here is where the certificates
come from with which a reader begins, and how entries are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..protocol.engine import ProtocolError, PublicKey, StateError, UsageError
from ..protocol.keys.certificates import (
    Role,
    VerifiedCertificate,
    is_circular,
    trusted_root,
    verify_circle,
    verify_issued,
)
from ..protocol.keys.profile import time_text
from ..protocol.parties.log_heads import LogHead, LogReceipt, signed_by
from ..protocol.parties.log_reading import LIST, LogDoubted, Made, check_head, made_in, owner_keys
from ..protocol.stores.card_log import (
    Failure,
    Happening,
    Intent,
    ListIntent,
    LogEntry,
    PeopleChanged,
    Result,
    StandingBegun,
    StandingEnded,
    TicketsOrdered,
    TicketUsed,
    open_intents,
)
from ..protocol.stores.log_lines import Export


@dataclass(frozen=True, slots=True)
class Found:
    """What a log was found to be.

    Attributes:
        entries: how many.
        certificates, lists: how many the log has a signature for; each was put together and verified.
        open: intents without an outcome: the power went, or the signature is being made.
        head: the last one that the card signed; None: the log is empty.
        receipt: of a central system, if the log has one and its key was given.

    """

    entries: int
    certificates: int
    lists: int
    open: int
    head: LogHead | None
    receipt: LogReceipt | None

    @property
    def unsigned(self) -> int:
        """Entries at the end that no signed head names."""
        return self.entries - (0 if self.head is None else self.head.entries)


def customer_certificate(customer: bytes, root: bytes | None, central: bytes | None) -> VerifiedCertificate:
    """The certificate of a card's signing key, for a reader who has files only.

    Args:
        customer: it, DER.
        root: the manufacturer's, DER.
        central: the central system's certificate, DER; of use where that one certified the customer itself (L6).

    Raises:
        UsageError: what is needed to verify it lacks.
        CertificateRefused: it does not hold.

    """
    if is_circular(customer):
        if central is None:
            raise UsageError("a circular certificate", expected="--central, which certified it", got="none")
        return verify_circle(customer, central)[0]
    if root is None:
        raise UsageError("the manufacturer's root", expected="--root, under which the card is certified", got="none")
    return verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=None)


def verify(
    export: Export,
    customer: VerifiedCertificate,
    *,
    owner: PublicKey | None = None,
    central: bytes | None = None,
    earlier: Iterable[Export] = (),
) -> Found:
    """Look for everything that can be wrong with a log whose chain holds.

    Args:
        export: the log.
        customer: the certificate of the card's signing key, verified.
        owner: the card's authentication key; None: one that the log had a certificate for when it signed.
        central: the central system's certificate, DER, for the receipt; None: it is not asked for.
        earlier: logs of the same card from other sources, say what the central system has of it; the same key signed.

    Raises:
        LogBroken: a certificate or list in it is not what it says.
        LogDoubted: no head, one that is not this card's, entries that lack, or a log that another source contradicts.
        CertificateRefused: the central system's certificate does not hold.

    """
    log = export.log
    made = list(made_in(log, customer))
    head, signer = _head(export, customer, owner)
    receipt = None
    if central is not None:
        reader = verify_issued(central, customer, Role.CENTRAL, now=None)
        if export.receipt is None:
            raise LogDoubted("nobody has read this log", who="card log", expected="a receipt", got="none")
        receipt = LogReceipt.read(export.receipt, reader.public)
        _check_receipt(receipt, log, customer.fingerprint)
    for other in earlier:
        if not other.log:
            raise UsageError("an earlier log", expected="one with entries", got="none, which says nothing of this one")
        _check_grown(log, other.log)
        if other.head is not None and signer is not None and not signed_by(other.head, signer):
            raise LogDoubted("head of the log", who="card log", expected="by the key of the earlier one", got="another")
    lists = sum(each.role == LIST for each in made)
    return Found(len(log), len(made) - lists, lists, len(open_intents(log)), head, receipt)


def _head(
    export: Export, customer: VerifiedCertificate, owner: PublicKey | None
) -> tuple[LogHead | None, PublicKey | None]:
    """The head, and who has signed it."""
    if export.head is None:
        if not export.log and owner is not None:  # a card that has made nothing yet; a file may have lost all
            return None, owner
        raise LogDoubted("the card signed no head", who="card log", expected="a signed head", got="none")
    refused: ProtocolError = LogDoubted(
        "head of the log", who="card log", expected="by a key that the log has a certificate for", got="no such key"
    )
    for key in owner_keys(export.log, customer) if owner is None else (owner,):
        try:
            head = check_head(export.log, export.head, customer.fingerprint, key)
        except LogDoubted as error:
            refused = error
            continue
        if owner is not None or key in owner_keys(export.log[: head.entries], customer):
            return head, key  # who was certified later has not signed it
    raise refused


def _check_receipt(receipt: LogReceipt, log: tuple[LogEntry, ...], card: bytes) -> None:
    if receipt.card != card:
        raise LogDoubted("receipt for another card's log", who="card log")
    if receipt.entries > len(log):
        raise LogDoubted(
            f"the end of the log is cut off: {receipt.central} has read more",
            who="card log",
            expected=f"{receipt.entries} entries",
            got=len(log),
        )
    if not receipt.names(log):
        raise LogDoubted(f"not the log that {receipt.central} has read", who="card log", got="another one")


def _check_grown(log: tuple[LogEntry, ...], earlier: tuple[LogEntry, ...]) -> None:
    """An earlier log is the beginning of the later one, or something was cut, put back or forked."""
    if len(earlier) > len(log):
        raise LogDoubted(
            "the end of the log is cut off", who="card log", expected=f"{len(earlier)} entries", got=len(log)
        )
    for mine, theirs in zip(log, earlier, strict=False):
        if mine != theirs:
            raise LogDoubted(
                f"entry {mine.number} is not the one that was there", who="card log", got=mine.digest.hex()[:16]
            )


def find_made(export: Export, customer: VerifiedCertificate, role: str, subject: str) -> tuple[Made, ...]:
    """All certificates of this role for this subject, or the list of this number, oldest first.

    Raises:
        StateError: the log has none.
        LogBroken: see `verify`.

    """
    found = tuple(each for each in made_in(export.log, customer) if (each.role, each.subject) == (role, subject))
    if not found:
        raise StateError(f"no {role} {subject} in the log", who="card log", expected="one that was signed", got="none")
    return found


# Telling -----------------------------------------------------------------------------------------------------


def told(log: tuple[LogEntry, ...]) -> Iterator[str]:
    """A line for each entry; an intent without an outcome says so."""
    waiting = {what.job for what in open_intents(log)}
    for entry in log:
        is_open = isinstance(entry.what, (Intent, ListIntent)) and entry.what.job in waiting
        mark = ": NO OUTCOME, it was cut off before or while it signed" if is_open else ""
        yield f"{entry.number:>6}  {time_text(entry.at)}  {_words(entry.what)}{mark}"


def _words(what: Happening) -> str:
    match what:
        case Intent():
            by = "by a standing approval of" if what.standing else "approved by"
            return f"about to certify {what.role} {what.subject}, {by} {' and '.join(what.approvers)}"
        case ListIntent():
            adds = f"adds {len(what.added)}"
            return f"about to sign list {what.list_number}, {adds}, approved by {' and '.join(what.approvers)}"
        case Result():
            return f"signed: SHA-256 {what.fingerprint.hex()}"
        case Failure():
            return f"not signed: {what.reason}"
        case TicketsOrdered():
            last = what.first + what.count - 1
            return f"tickets {what.first} to {last} given out, approved by {' and '.join(what.approvers)}"
        case TicketUsed():
            return f"ticket {what.ticket} is module {what.serial}'s"
        case StandingBegun():
            modules = ", ".join(what.serials)
            return f"standing approval for {what.most} of {modules}, by {' and '.join(what.approvers)}"
        case StandingEnded():
            return f"standing approval {what.job.hex()} withdrawn"
        case PeopleChanged():
            concerns = f"{what.person} by {what.comes}" if what.comes else what.person
            return f"people: {what.change} {concerns}, approved by {' and '.join(what.approvers)}"


def state_of(export: Export) -> dict[str, object]:
    """How far the log is signed and read, as it says itself; `verify` looks whether that is true."""
    head, receipt = _seals(export)
    return {
        "entries": len(export.log),
        "signed": 0 if head is None else head.entries,
        "signatures": None if head is None else head.signatures,
        "read": 0 if receipt is None else receipt.entries,
        "reader": None if receipt is None else receipt.central,
        "open": len(open_intents(export.log)),
    }


def state_told(export: Export) -> Iterator[str]:
    """The same in lines."""
    (head, receipt), entries = _seals(export), len(export.log)
    known = 0 if head is None else head.entries
    yield f"{entries} entries, {known} of them under a head that the card signed"
    if known > entries:
        yield f"CUT OFF: {known - entries} entries that the card has signed are not here"
    elif known < entries:
        yield f"NOT SIGNED: the last {entries - known}; the card does so when it is used next, or the log is exported"
    if receipt is None:
        yield "read by no central system yet"
    else:
        yield f"read by {receipt.central}: {receipt.entries} of {entries}"


def _seals(export: Export) -> tuple[LogHead | None, LogReceipt | None]:
    """Head and receipt, whoever has signed them."""
    return (
        None if export.head is None else LogHead.read(export.head, None),
        None if export.receipt is None else LogReceipt.read(export.receipt, None),
    )
