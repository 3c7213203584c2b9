"""The manufacturer's office: its table at a desk, its books in a vault."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ..protocol.desk import Desk
from ..protocol.engine import PublicKey, StateError, given
from ..protocol.keys.certificates import CertificateRefused, Role, trusted_root, verify_issued
from ..protocol.keys.profile import SERIAL_NUMBER_BYTES
from ..protocol.keys.vault import Vault
from ..protocol.messages import MOST_TICKETS, Booked, ManufacturerRecord, ModuleTicket, TicketOrder
from ..protocol.parties.manufacturer import (
    MANUFACTURER,
    ROOT,
    CustomerRequested,
    Establish,
    IdentityRequested,
    Issued,
    Listed,
    ListRequested,
    ManufacturerData,
    ManufacturerState,
    Revoke,
    Ticketed,
    TicketRequested,
    TicketsReceived,
)
from .keeping import Keeping, Show, ignore, wall_clock

LIST_DAYS = 90
"""How long a revocation list is relied on, unless said otherwise."""


def _rests(data: ManufacturerData) -> ManufacturerState:
    """Where the manufacturer is between two requests."""
    return ManufacturerState.BLANK if data.record is None else ManufacturerState.READY


class Manufacturer:
    """Certifies customers' signing keys and modules' identities (L1, L6), and revokes them (S5).

    Args:
        vault: its key memory and books.
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
        self._keeping = Keeping(vault, ManufacturerRecord)
        self._entropy = entropy
        self._now = now
        self._show = show

    @property
    def record(self) -> ManufacturerRecord:
        """The books.

        Raises:
            StateError: there is no manufacturer yet.

        """
        if self._keeping.record is None:
            raise StateError("the manufacturer is not set up", who="manufacturer", expected="a root key", got="none")
        return self._keeping.record

    @property
    def root(self) -> bytes:
        """The root certificate, DER."""
        return self.record.root

    def establish(self, name: str) -> bytes:
        """Make the root key; the root certificate, DER.

        Raises:
            StateError: there is one already.
            UsageError: a name that no certificate can carry.

        """
        return self._issue(Establish(name, self._entropy(16), self._now()))

    def sign_customer(self, request: bytes) -> bytes:
        """Certify the signing key of a customer's request (PKCS#10, DER); the certificate, DER.

        Raises:
            ProtocolError: the request is not genuine.

        """
        return self._issue(CustomerRequested(request, self._entropy(16), self._now()))

    def certify_identity(self, serial: str, public: PublicKey) -> bytes:
        """Certify the identity key of the module on the bench; the certificate, DER.

        Raises:
            StateError: a module with this serial number was delivered before.

        """
        if any(serial == booked.subject for booked in self.record.identities):
            raise StateError(f"serial number {serial} is used", who="manufacturer", expected="one never delivered")
        return self._issue(IdentityRequested(serial, public, self._entropy(16), self._now()))

    def take_tickets(self, order: TicketOrder) -> int:
        """Take in a customer's tickets (A4); how many of this customer are here now.

        Raises:
            StateError: no room for them.
            ProtocolError: they were taken in before.

        """
        keys = self._keeping.vault.storage
        if len(self.record.tickets) + len(order.keys) > MOST_TICKETS:
            got = len(self.record.tickets) + len(order.keys)
            raise StateError("tickets", who="manufacturer", expected=f"{MOST_TICKETS} at most", got=got)
        if order.order not in self.record.orders:
            for ticket, key in zip(order.tickets, order.keys, strict=True):
                keys.share(ticket.label, key)
        self._submit(TicketsReceived(order.order, order.tickets))
        return sum(ticket.customer == order.customer for ticket in self.record.tickets)

    def certify_by_ticket(self, customer: str, serial: str, public: PublicKey) -> ModuleTicket:
        """Use up a ticket of the customer for the identity key of the module on the bench (A4).

        Raises:
            StateError: there is none, or no identity was certified under this serial number.

        """
        ticket = next((each for each in self.record.tickets if each.customer == customer), None)
        if ticket is None:
            raise StateError(f"no ticket of {customer}", who="manufacturer", expected="take-tickets", got="none left")
        key = given(self._keeping.vault.find_secret(ticket.label))
        notes = self._submit(TicketRequested(serial, public, ticket, key))
        return next(note.ticket for note in notes if isinstance(note, Ticketed))

    def number_of_module(self, serial: str) -> bytes:
        """The serial number of the identity certificate of the module `serial`, 16 bytes.

        Raises:
            StateError: none was certified under this serial number, or it is revoked.

        """
        found = [booked for booked in self.record.identities if booked.subject == serial]
        return self._countable(found, f"module {serial}")

    def number_of_customer(self, name: str) -> bytes:
        """The serial number of the one certificate of the customer `name` that counts, 16 bytes.

        Raises:
            StateError: there is none, or there are several.

        """
        return self._countable([booked for booked in self.record.customers if booked.subject == name], name)

    def number_of(self, certificate: bytes) -> bytes:
        """The serial number of a customer's or an identity certificate (DER), 16 bytes.

        Raises:
            CertificateRefused: it is not one of ours.
            StateError: it is revoked.

        """
        root = trusted_root(self.root)
        for role in (Role.CUSTOMER, Role.IDENTITY):
            try:
                verified = verify_issued(certificate, root, role, now=None)
            except CertificateRefused:
                continue
            number = verified.serial_number.to_bytes(SERIAL_NUMBER_BYTES, "big")
            return self._countable([Booked(verified.subject, number)], f"the certificate of {verified.subject}")
        raise CertificateRefused("issuer", "certificate", expected="one that we made for others", got="another")

    def _countable(self, found: list[Booked], what: str) -> bytes:
        revoked = {each.number for each in self.record.revoked}
        counting = [booked.number for booked in found if booked.number not in revoked]
        if len(counting) == 1:
            return counting[0]
        got = f"{len(counting)} certificates" if counting else "a revoked one" if found else "none"
        raise StateError(f"what to revoke: {what}", who="manufacturer", expected="one certificate that counts", got=got)

    def revoke(self, number: bytes) -> None:
        """Enter that a certificate of ours counts no more; the next list says so.

        Raises:
            StateError: it is not one of ours, or is revoked.
            UsageError: no list can be longer.

        """
        self._submit(Revoke((number,), self._now()))

    def sign_list(self, days: int = LIST_DAYS) -> bytes:
        """Sign a new revocation list of all that is revoked, DER; it is relied on for so many days.

        Raises:
            UsageError: the clock is behind that of the last list.

        """
        return next(note.crl for note in self._submit(ListRequested(days, self._now())) if isinstance(note, Listed))

    def _issue(self, event: object) -> bytes:
        return next(note.certificate for note in self._submit(event) if isinstance(note, Issued))

    def _submit(self, event: object) -> list[object]:
        record = self._keeping.record
        data = ManufacturerData(record=record, key=self._keeping.vault.find(ROOT))
        desk = Desk(MANUFACTURER, _rests(data), data, self._keeping.ports(self._show), rests=_rests)
        try:
            return desk.submit(event)
        finally:
            self._keeping.vault.roll_back()
