"""A unit's book: its TANs and the counts of wrong attempts, in a sealed file of their own (A6, A7).

The file is open only while something is read or written, so that several programs share it: one serves, an operator
issues and unlocks. Each change is one write, durable when the call returns; what is burnt is erased with it.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from ..protocol.engine import StateError, UsageError
from ..protocol.keys.tans import TanForm, draw_tan
from ..protocol.keys.vault import SealedVault, Vault
from ..protocol.messages.tans import Tan, UnitRecord
from ..protocol.stores import tans
from ..protocol.stores.files import StoreLocked
from ..protocol.stores.sealed import StoreKind
from ..protocol.stores.secret import Entropy, Secret, draw
from .keeping import Keeping, wall_clock

KEY_BYTES: Final = 32
"""Of a TAN that is a key."""
LOCK_SECONDS: Final = 10.0
"""How long another program may hold the file."""


class Book:
    """TANs and wrong attempts of a unit.

    Args:
        opened: opens its vault for one use.
        entropy, now: random bytes, unix seconds.

    """

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[Vault]],
        *,
        entropy: Entropy = secrets.token_bytes,
        now: Callable[[], int] = wall_clock,
    ) -> None:
        self._opened = opened
        self._entropy = entropy
        self._now = now

    @classmethod
    def in_file(cls, path: Path, passphrase: Secret) -> Book:
        """The book in a sealed file; errors as for SealedVault.open, at each use."""

        def opened() -> Vault:
            deadline = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    return SealedVault.open(path, StoreKind.UNIT, passphrase, entropy=secrets.token_bytes)
                except StoreLocked:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

        return cls(opened)

    @contextmanager
    def _keeping(self) -> Iterator[Keeping[UnitRecord]]:
        with self._opened() as vault:
            yield Keeping(vault, UnitRecord)

    def record(self) -> UnitRecord:
        """What is in it; nothing secret."""
        with self._keeping() as keeping:
            return keeping.record or UnitRecord()

    # The operator

    def issue(self, serial: str, form: TanForm | None, *, not_after: int, identified: bool = True) -> Tan:
        """A new TAN, which nobody has seen yet.

        Args:
            serial: the module that it is for.
            form: how it is written; None: a key that is for a token, and is never written (A8).
            not_after: unix seconds after which it is worth nothing.
            identified: the module must prove its identity before it may use it.

        Raises:
            StateError: there is one for this module.
            UsageError: a term that is over.

        """
        with self._keeping() as keeping:
            before = keeping.record or UnitRecord()
            about = {"not_after": not_after, "at": self._now()}
            record, tan = tans.issued(before, serial, **about, identified=identified, key=form is None)
            if form is None:
                keeping.vault.storage.share(tan.label, draw(self._entropy, KEY_BYTES))
            else:
                keeping.vault.storage.share_password(tan.label, draw_tan(form, self._entropy).encode())
            self._commit(keeping, record)
            return tan

    def take_to_print(self, serial: str) -> str:
        """The TAN, for its sheet and nothing else (S9); once, and that is durable before it is given.

        Raises:
            StateError: there is none, it was given out, or it is for a token.

        """
        with self._keeping() as keeping:
            record = tans.printed(keeping.record or UnitRecord(), serial)
            if _tan(record, serial).key:
                raise StateError(f"the TAN for {serial} is for a token", who="unit", expected="insitu tan seal")
            self._commit(keeping, record)
            return _value(keeping, record, serial).decode()

    def check_to_give(self, serial: str) -> None:
        """Make sure, before a token is made for it, that the TAN can be given out.

        Raises:
            StateError: there is none, or it was given out.

        """
        tans.printed(self.record(), serial)

    def take_to_seal(self, serial: str, token: Vault) -> None:
        """Put the TAN into an operator's token, under the serial number, once; an earlier one there gives way (A8).

        It is taken from the book first: where the token then fails, it is in neither's hands and can be revoked.

        Raises:
            StateError: there is none, or it was given out.
            UsageError: it is one that a person could key in, and the token is for keys only.
            EnvironmentFault: the token cannot be written.

        """
        with self._keeping() as keeping:
            record = tans.printed(keeping.record or UnitRecord(), serial)
            if not (_tan(record, serial).key or token.storage.keeps_passwords):
                raise UsageError("TAN for this token", who="book", expected="insitu tan issue --form key", got="digits")
            self._commit(keeping, record)
            tan, value = _tan(record, serial), _value(keeping, record, serial)
        others = token.labels() - {serial}
        token.commit(b"", others)
        if tan.key:
            token.storage.share(serial, value)
        else:
            token.storage.share_password(serial, value)
        token.commit(b"", others | {serial})

    def revoke(self, serial: str) -> None:
        """The TAN for this module counts no more.

        Raises:
            StateError: there is none.

        """
        with self._keeping() as keeping:
            self._commit(keeping, tans.revoked(keeping.record or UnitRecord(), serial))

    def unlock(self, serial: str) -> int:
        """Attempts for this module go on; how many were wrong."""
        with self._keeping() as keeping:
            record = keeping.record or UnitRecord()
            self._commit(keeping, tans.forgotten(record, serial))
            return tans.wrong_attempts(record, serial)

    def agree(self, serial: str, secret: bytes) -> None:
        """Keep the secret that the module was told, for a unit that does not know beforehand who calls (A6).

        Raises:
            StateError: there are too many.

        """
        with self._keeping() as keeping:
            record, kept = tans.agreed(keeping.record or UnitRecord(), serial)
            keeping.vault.storage.share_password(kept.label, secret)
            self._commit(keeping, record)

    # Sessions

    def check_unlocked(self, serial: str) -> None:
        """Make sure, before a link is opened, that attempts may be made.

        Raises:
            Locked: too many were wrong.

        """
        tans.check_unlocked(self.record(), serial)

    def usable(self, serial: str) -> tuple[Tan, bytes]:
        """The TAN with which this module can be met, and its value for key memory.

        Raises:
            TanGone, Locked: it cannot.

        """
        with self._keeping() as keeping:
            record = keeping.record or UnitRecord()
            return tans.usable(record, serial, self._now()), _value(keeping, record, serial)

    def begin_attempt(self, serial: str, *, by_tan: bool) -> None:
        """Count an attempt and burn the TAN, durably, before anything is said.

        Raises:
            TanGone, Locked: it must not be made.
            EnvironmentFault: it could not be written; nothing may be said.

        """
        with self._keeping() as keeping:
            record = keeping.record or UnitRecord()
            self._commit(keeping, tans.attempted(record, serial, self._now(), by_tan=by_tan))

    def attempt(self, serial: str, *, by_tan: bool) -> bytes:
        """The same, for a session that did not know before which module it is with: the TAN, or the agreed secret.

        A TAN that is a key in a token is not for such a session, which could not choose its proof; it is not burnt.

        Raises:
            SecretGone, TanGone, Locked: it must not be made.
            EnvironmentFault: it could not be written; nothing may be said.

        """
        with self._keeping() as keeping:
            record = keeping.record or UnitRecord()
            left = tans.attempted(record, serial, self._now(), by_tan=by_tan)
            if by_tan and _tan(record, serial).key:
                expected = "insitu unit personalize, or a TAN that is keyed in"
                raise tans.TanGone(f"the TAN for {serial} is a key in a token", who="unit", expected=expected)
            if by_tan:
                value = _value(keeping, record, serial)
            else:
                value = keeping.vault.storage.secret_bytes_for_sealing(tans.secret_of(record, serial).label)
            self._commit(keeping, left)
            return value

    def forget_attempts(self, serial: str) -> None:
        """The attempt was right."""
        with self._keeping() as keeping:
            self._commit(keeping, tans.forgotten(keeping.record or UnitRecord(), serial))

    def _commit(self, keeping: Keeping[UnitRecord], record: UnitRecord) -> None:
        kept = {tan.label for tan in record.tans} | {secret.label for secret in record.agreed}
        keeping.commit(record, frozenset(kept))


def _value(keeping: Keeping[UnitRecord], record: UnitRecord, serial: str) -> bytes:
    return keeping.vault.storage.secret_bytes_for_sealing(_tan(record, serial).label)


def _tan(record: UnitRecord, serial: str) -> Tan:
    return next(tan for tan in record.tans if tan.serial == serial)
