"""The manufacturer's office: its table at a desk, its books in a vault."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ..protocol.desk import Desk
from ..protocol.engine import PublicKey, StateError, given
from ..protocol.keys.vault import Vault
from ..protocol.messages import ManufacturerRecord
from ..protocol.parties.manufacturer import (
    MANUFACTURER,
    ROOT,
    CustomerRequested,
    Establish,
    IdentityRequested,
    Issued,
    ManufacturerData,
    ManufacturerState,
)
from .keeping import Keeping, Show, ignore, wall_clock


class Manufacturer:
    """Certifies customers' signing keys and modules' identities (L1, L6).

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
    def root(self) -> bytes:
        """The root certificate, DER."""
        return given(self._keeping.record).root

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
        if serial in given(self._keeping.record).serials:
            raise StateError(f"serial number {serial} is used", who="manufacturer", expected="one never delivered")
        return self._issue(IdentityRequested(serial, public, self._entropy(16), self._now()))

    def _issue(self, event: object) -> bytes:
        record = self._keeping.record
        state = ManufacturerState.BLANK if record is None else ManufacturerState.READY
        data = ManufacturerData(record=record, key=self._keeping.vault.find(ROOT))
        desk = Desk(MANUFACTURER, state, data, self._keeping.ports(self._show))
        try:
            return next(note.certificate for note in desk.submit(event) if isinstance(note, Issued))
        finally:
            self._keeping.vault.roll_back()
