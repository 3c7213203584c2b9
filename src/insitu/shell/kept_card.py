"""What every use of a card rests on: taking it into use, its keys and certificates, and one event at its desk."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from ..protocol.desk import Desk
from ..protocol.engine import KeyHandle, ProtocolError, StateError, UsageError, given
from ..protocol.keys.certificates import Role, VerifiedCertificate, trusted_root, verify_issued
from ..protocol.keys.split_vault import CHECK_BYTES, SHORTEST_PART, SplitVault
from ..protocol.keys.vault import Vault
from ..protocol.messages import CardRecord, Person, StandingPolicy
from ..protocol.parties.card import CARD, customer_of, pin_verifier, resting_state
from ..protocol.parties.card_data import (
    AUTHENTICATION,
    SIGNING,
    CardData,
    CardState,
    CircleClosed,
    CustomerCertified,
    Furnish,
    RequestMade,
)
from ..protocol.parties.card_people_data import (
    ApprovalsOutlived,
)
from ..protocol.parties.card_record import all_jobs, circular_customer, known_log
from ..protocol.parties.card_room import Room, room_on
from ..protocol.stores.card_log import LogEntry
from .keeping import Keeping, Show, ignore, wall_clock

SHORTEST_PIN: Final = 4
"""Characters of a person's PIN."""


def _rests(data: CardData) -> CardState:
    """Where the card is between two questions, as it will wake up."""
    return resting_state(data.record)


class KeptCard:
    """A card with its store.

    Args:
        vault: its key memory and durable state.
        entropy, now, show: random bytes, unix seconds, progress.

    """

    def __init__(
        self,
        vault: Vault,
        *,
        entropy: Callable[[int], bytes] = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
        show: Show = ignore,
    ) -> None:
        self._keeping = Keeping(vault, CardRecord)
        self._known = CardData()
        self._authentication: KeyHandle | None = None
        self._entropy = entropy
        self._now = now
        self._show = show
        self._end_earlier_session()

    def _end_earlier_session(self) -> None:
        """With a token that signs, approvals live as long as the session in which they were given."""
        record = self._keeping.record
        if self.split is not None and record is not None and any(job.approvals for job in all_jobs(record)):
            self._submit(ApprovalsOutlived())

    @property
    def split(self) -> SplitVault | None:
        """The vault with the halves of the signing token's PIN; None: this card has no such token."""
        vault = self._keeping.vault
        return vault if isinstance(vault, SplitVault) else None

    @property
    def record(self) -> CardRecord:
        """Durable state.

        Raises:
            StateError: the card is blank.

        """
        if self._keeping.record is None:
            raise StateError("the card is blank", who="card", expected="a furnished card", got="blank")
        return self._keeping.record

    @property
    def root(self) -> VerifiedCertificate:
        """The manufacturer's root that came with our certificate.

        Raises:
            StateError: there is none yet, or the certificate is a circular one (L6).

        """
        root = self._installed().root
        if root is None:
            raise StateError(
                "this card is certified by its own central system only",
                who="card",
                expected="a certificate by the manufacturer, or trust option physical",
                got="a circular certificate",
            )
        return trusted_root(root)

    @property
    def is_circular(self) -> bool:
        """Whether its certificate is a circular one: a plausibility check only (L6)."""
        return self._installed().central is not None

    @property
    def customer(self) -> VerifiedCertificate:
        """The certificate of the signing key."""
        return customer_of(self._installed())

    @property
    def unit(self) -> bytes:
        """The certificate of the authentication key, DER.

        Raises:
            StateError: nobody had it made yet.

        """
        certificate = self._installed().unit
        if certificate is None:
            raise StateError("the unit has no certificate", who="card", expected="an approved unit job", got="none")
        return certificate

    @property
    def authentication(self) -> KeyHandle:
        """The pair that opens channels; looked for once, since it is as old as the card."""
        self._authentication = self._authentication or given(self._keeping.vault.find(AUTHENTICATION))
        return self._authentication

    @property
    def now(self) -> int:
        """Unix seconds."""
        return self._now()

    @property
    def room(self) -> Room:
        """What is left for more certificates."""
        return room_on(self.record, self._keeping.vault.memory)

    @property
    def keys(self) -> Vault:
        """Key memory, for the channel's signatures."""
        return self._keeping.vault

    def furnish(
        self,
        name: str,
        pins: Mapping[str, bytes],
        *,
        policy: StandingPolicy | None = None,
        signing: str | None = None,
    ) -> bytes:
        """Take the card into use for the customer `name`; a PKCS#10 request (DER) for the manufacturer.

        Args:
            name: of the customer.
            pins: of the people who may approve, at least two.
            policy: what standing approvals there may be, for its whole life; None: none.
            signing: URI of the token with the signing key, where the vault has one (`SplitVault`), whose PIN the two
                people hold already.

        Raises:
            StateError: the card is in use, or fewer than two people are named; or not two, for a token that signs.
            UsageError: a PIN is too short, or a name that no certificate can carry.

        """
        people = tuple(self._with_pin(person, pin) for person, pin in pins.items())
        try:
            asks = None if self.split is None else self.split.asks_each_time
            notes = self._submit(Furnish(name, people, policy, signing, asks))
        finally:
            self._keeping.vault.roll_back()
        return next(note.request for note in notes if isinstance(note, RequestMade))

    def install(self, root: bytes, customer: bytes) -> None:
        """Keep what the manufacturer sent: its root and our certificate, DER.

        Raises:
            StateError: the card has them.
            ProtocolError: the certificate is not the manufacturer's for our key and name.

        """
        name = self._check_waits()
        self._check_ours(verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=None, subject=name))
        self._submit(CustomerCertified(root, customer))

    def install_circular(self, request: bytes, customer: bytes) -> None:
        """Keep what our own central system made in the manufacturer's place: a plausibility check only (L6).

        Args:
            request: its PKCS#10 request, DER; the caller answers for it that it is the central system's.
            customer: our certificate by its key, DER.

        Raises:
            StateError: the card has a certificate.
            ProtocolError: it is not by that key, or not for our key and name.

        """
        name = self._check_waits()
        self._check_ours(circular_customer(request, customer, name))
        self._submit(CircleClosed(request, customer))

    def _check_waits(self) -> str:
        """The name of a card that waits for its certificate."""
        if self.record.customer is not None:
            raise StateError("the card has its certificate", who="card", expected="a card that waits for it")
        return self.record.name

    def _check_ours(self, customer: VerifiedCertificate) -> None:
        if customer.public != given(self._keeping.vault.find(SIGNING)).public:
            raise ProtocolError("customer certificate", who="card", expected="our signing key", got="another key")

    def _with_pin(self, person: str, pin: bytes) -> Person:
        """That person, with what the card keeps of a new PIN.

        Raises:
            UsageError: it is too short.

        """
        shortest, kept = (SHORTEST_PIN, None) if self.split is None else (SHORTEST_PART, CHECK_BYTES)
        if len(pin) < shortest:
            raise UsageError(f"PIN of {person}", who="card", expected=f"at least {shortest} characters", got=len(pin))
        salt = self._entropy(16)
        return Person(name=person, salt=salt, verifier=pin_verifier(pin, salt)[:kept], failures=0)

    def _installed(self) -> CardRecord:
        record = self.record
        if record.customer is None:
            raise StateError(
                "the card waits for the manufacturer", who="card", expected="the customer's certificate", got="none yet"
            )
        return record

    def _submit(self, event: object) -> list[object]:
        known = replace(self._what_is_known(), memory=self._keeping.vault.memory)
        desk = Desk(CARD, _rests(known), known, self._keeping.ports(self._show), rests=_rests)
        notes = desk.submit(event)
        self._known = desk.data
        return notes

    def _what_is_known(self) -> CardData:
        record, vault = self._keeping.record, self._keeping.vault
        if self._known.record is not record:
            self._known = CardData(record, vault.find(SIGNING), vault.find(AUTHENTICATION))
        return self._known

    def _known_log(self) -> tuple[LogEntry, ...]:
        """The log, its chain verified now or before: a long one is not read anew for every session.

        Raises:
            StateError: the card is blank.
            LogBroken: an entry is missing, altered or out of place.

        """
        _ = self.record
        known = self._what_is_known()
        log = known_log(known)
        if log is not known.log:
            self._known = replace(known, log=log)
        return log
