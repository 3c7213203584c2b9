"""What a card's log proves to its readers: certificates and lists byte for byte, and that nothing is missing (L12).

No decisions of a party and no wire: the card's owner (insitu log), the central system that the card brings its log to,
and tests ask the same functions. What they start from is the certificate of the card's signing key, verified before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from ..engine import InsituError, ProtocolError, PublicKey, UsageError, given
from ..keys.certificates import Draft, Role, VerifiedCertificate, verify_issued
from ..keys.drafting import put_together
from ..keys.revocation import draft_crl, read_crl
from ..stores.card_log import Intent, ListIntent, LogBroken, LogEntry, Result
from ..stores.log_lines import read_entries
from .log_heads import LogHead

LIST = "list"
"""What a revocation list has in the place of a role."""


class LogDoubted(ProtocolError):
    """A card's log is whole in itself and still not what its card should show: cut, put back, forked, or unsigned."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the signing key made, put together again from the log.

    Attributes:
        number: of the entry with its intent.
        role: what the certificate makes of its holder; LIST for a revocation list.
        subject: serial number or name; of a list its number.
        der: the certificate or list.
        at: unix seconds of the intent.

    """

    number: int
    role: str
    subject: str
    der: bytes = field(repr=False)
    at: int

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of it, 32 bytes."""
        return sha256(self.der).digest()


@dataclass(frozen=True, slots=True)
class _Begun:
    """An intent with its place in the log."""

    number: int
    at: int
    what: Intent | ListIntent


def made_in(log: Sequence[LogEntry], customer: VerifiedCertificate, *, after: int = 0) -> Iterator[Made]:
    """What the log has a signature for, oldest first: byte for byte as it left the card, and verified.

    Args:
        log: all of it, its chain verified.
        customer: the certificate of the card's signing key.
        after: the entries before this one are not asked for; they were verified before.

    Raises:
        LogBroken: an entry is not what it says, or not by this card.

    """
    signed = {entry.what.job for entry in log[after:] if isinstance(entry.what, Result)}
    revoked: dict[int, int] = {}
    intents: dict[bytes, tuple[_Begun, Draft | None]] = {}
    for number, entry in enumerate(log):
        match entry.what:
            case Intent() as what:
                intents[what.job] = _Begun(number, entry.at, what), None
            case ListIntent() as what:
                revoked |= dict.fromkeys((int.from_bytes(each, "big") for each in what.added), entry.at)
                begun = _Begun(number, entry.at, what)
                intents[what.job] = begun, _list(begun, what, revoked, customer) if what.job in signed else None
            case Result() as result if number >= after:
                begun, draft = intents[result.job]
                with _as_it_was_signed(number):
                    made = _made(begun, draft, result)
                if made.fingerprint != result.fingerprint:
                    raise LogBroken("fingerprint", number=number, expected="that of what was signed", got="another")
                _check(made, begun, customer, number)
                yield made


@contextmanager
def _as_it_was_signed(number: int) -> Iterator[None]:
    """What cannot be put together again, our card has not signed; the entry with this number is not what it wrote."""
    try:
        yield
    except (UsageError, ValueError, OverflowError) as error:
        raise LogBroken("what was signed", number=number, expected="ours", got=str(error)) from None


def _list(begun: _Begun, what: ListIntent, revoked: dict[int, int], customer: VerifiedCertificate) -> Draft:
    """The list as it was to be signed: of all that is revoked by then."""
    until = what.next_update
    with _as_it_was_signed(begun.number):
        draft = draft_crl(customer, revoked, number=what.list_number, this_update=begun.at, next_update=until)
    if sha256(draft.to_be_signed).digest() != what.digest:
        raise LogBroken("digest of the list", number=begun.number, expected="that of what is revoked", got="another")
    return draft


def _made(begun: _Begun, draft: Draft | None, result: Result) -> Made:
    what = begun.what
    if isinstance(what, ListIntent):
        return Made(begun.number, LIST, str(what.list_number), given(draft).assemble(result.signature), begun.at)
    return Made(begun.number, what.role, what.subject, put_together(what.to_be_signed, result.signature), begun.at)


def _check(made: Made, begun: _Begun, customer: VerifiedCertificate, number: int) -> None:
    """It says what its intent says, and the signature is this card's."""
    try:
        if made.role == LIST:
            read_crl(made.der, customer)
            return
        found = verify_issued(made.der, customer, Role(made.role), now=None, subject=made.subject)
    except (InsituError, ValueError) as error:
        raise LogBroken("what was signed does not hold", number=number, expected="ours", got=str(error)) from None
    if found.not_before != begun.at:
        raise LogBroken("time of the certificate", number=number, expected=begun.at, got=found.not_before)


def owner_keys(log: Sequence[LogEntry], customer: VerifiedCertificate) -> tuple[PublicKey, ...]:
    """The authentication keys of units that this card certified, oldest first; its own, one of them, signs heads.

    Args:
        log: as far as the head goes, each certificate in it verified.
        customer: the certificate of the card's signing key.

    """
    units: dict[bytes, Intent] = {}
    keys: list[PublicKey] = []
    for entry in log:
        match entry.what:
            case Intent(role=Role.UNIT.value) as intent:
                units[intent.job] = intent
            case Result(job=job, signature=signature) if job in units:
                der = put_together(units[job].to_be_signed, signature)
                keys.append(verify_issued(der, customer, Role.UNIT, now=None).public)
    return tuple(dict.fromkeys(keys))


def check_head(log: Sequence[LogEntry], signed: bytes, card: bytes, public: PublicKey) -> LogHead:
    """The head, if the card with this fingerprint signed it about this log.

    Args:
        log: its chain verified.
        signed: the head, COSE_Sign1.
        card: SHA-256 of the certificate of the card's signing key, 32 bytes.
        public: the card's authentication key.

    Raises:
        LogDoubted: the head is another key's or card's, or entries that it names are not there.

    """
    try:
        head = LogHead.read(signed, public)
    except ProtocolError as error:
        raise LogDoubted(f"head of the log: {error.summary}", who="card log", got=error.got) from None
    if head.card != card:
        raise LogDoubted(
            "head of another card's log", who="card log", expected=card.hex()[:16], got=head.card.hex()[:16]
        )
    if head.entries > len(log):
        raise LogDoubted(
            "the end of the log is cut off", who="card log", expected=f"{head.entries} entries", got=len(log)
        )
    if not head.names(log):
        raise LogDoubted(
            "the log is not the one that its card signed",
            who="card log",
            expected=head.digest.hex()[:16],
            got="another",
        )
    return head


def read_further(
    known: tuple[LogEntry, ...],
    further: Sequence[bytes],
    signed: bytes,
    customer: VerifiedCertificate,
    public: PublicKey,
) -> tuple[LogEntry, ...]:
    """The whole log, if what comes goes on where what is known ends, and its card has signed all of it.

    Args:
        known: entries that were read and verified before; none of them is looked at again.
        further: those that come after, one a line.
        signed: the head of all of them.
        customer: the certificate of the card's signing key.
        public: the card's authentication key.

    Raises:
        LogBroken: an entry does not fit, or what it says was signed was not.
        LogDoubted: the head is not of this log, or by a key that is in none of its certificates.

    """
    log = read_entries(further, known)
    head = check_head(log, signed, customer.fingerprint, public)
    if head.entries != len(log):
        raise LogDoubted("entries without a head", who="card log", expected=f"{len(log)} signed", got=head.entries)
    for _ in made_in(log, customer, after=len(known)):
        pass  # each is verified as it is made
    if public not in owner_keys(log, customer):
        expected = "by a unit that the log has a certificate for"
        raise LogDoubted("head of the log", who="card log", expected=expected, got="another unit's")
    return log
