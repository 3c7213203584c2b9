"""The files of a demonstration: certificates for everybody to look at, stores and their passphrases beside them."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..protocol.engine import EnvironmentFault, UsageError
from ..protocol.stores.files import OS_FILES

SERIAL: Final = "SM-0001"
MANUFACTURER: Final = "Module Maker"
CUSTOMER: Final = "Example Bank"
UNIT: Final = "unit-1"
CENTRAL: Final = "Example Bank Host"
MOBILE: Final = "phone of Alice"
PEOPLE: Final = ("alice", "bob")
LIMIT: Final = 50_000
"""Minor units up to which the demonstration's host approves."""


@dataclass(frozen=True)
class Payment:
    """What is to be authorized; fields as in Authorize."""

    card: str
    account: str
    amount: int
    currency: str


PAYMENT: Final = Payment(card="4000001234567899", account="DE02120300000000202051", amount=5000, currency="EUR")
"""The demonstration's authorization: an invented card, 50.00 EUR."""
CERTIFICATES: Final = ("manufacturer", "customer", "unit", "central", "module-1", "module-2", "module")
REQUESTS: Final = ("customer-request.pem", "central-request.pem", "mobile-request.pem")
LOG: Final = "card-log.jsonl"
_MARK: Final = ".insitu-demo"


class Stage:
    """A directory for one demonstration.

    Args:
        directory: new, empty, or left by an earlier demonstration, whose files are replaced.

    Attributes:
        token: the URI of the token that the card is in; empty where it is in a sealed file.

    Raises:
        UsageError: there is something else in it.
        EnvironmentFault: it cannot be written, or another demonstration is under way in it.

    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.private = directory / "private"
        self.token = ""
        try:
            if directory.exists() and not directory.is_dir():
                raise UsageError(f"{directory} is not a directory", expected="a directory for the demonstration")
            if directory.exists() and any(directory.iterdir()) and not (directory / _MARK).exists():
                raise UsageError(f"{directory} is in use", expected="a new or empty directory", got="other files")
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = OS_FILES.lock(directory / _MARK)
        except OSError as error:
            raise EnvironmentFault(f"cannot write {directory}", got=error.strerror) from None
        try:
            self._clear()
            self.private.mkdir(mode=0o700)
            for name in ("manufacturer", "card", "central", "module", "tickets", "book", "mobile"):
                self._secret(f"{name}.passphrase", secrets.token_urlsafe(24))
            self._secret(self.agreed.name, secrets.token_urlsafe(6))
            for person in PEOPLE:
                self._secret(f"{person}.pin", f"{secrets.randbelow(10**8):08d}")
        except OSError as error:
            self._lock.release()
            raise EnvironmentFault(f"cannot write {directory}", got=error.strerror) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def _clear(self) -> None:
        shutil.rmtree(self.private, ignore_errors=True)
        for name in (*(f"{name}.pem" for name in CERTIFICATES), *REQUESTS, LOG):
            (self.directory / name).unlink(missing_ok=True)

    def _secret(self, name: str, text: str) -> None:
        path = self.private / name
        path.touch(mode=0o600)
        path.write_text(text + "\n", "ascii")

    def pem(self, name: str) -> Path:
        """The file of a certificate or request."""
        return self.directory / f"{name}.pem"

    def store(self, party: str) -> str:
        """The sealed file of a party, or its token."""
        return self.token if self.token and party == "card" else str(self.private / f"{party}.insitu")

    def passphrase(self, party: str) -> Path:
        """The file that unseals it."""
        return self.private / f"{party}.passphrase"

    @property
    def sheet(self) -> Path:
        """The sheet of the module's documents, with the shipped key on it, or the sheet for a TAN's envelope."""
        return self.private / "module.html"

    @property
    def shipped_key(self) -> Path:
        """The key as somebody typed it from the sheet."""
        return self.private / "shipped-key"

    def type_shipped_key(self) -> None:
        """Do what a person at the unit does who has the sheet."""
        self._secret(self.shipped_key.name, self._read_sheet("code"))

    @property
    def agreed(self) -> Path:
        """The secret that module and unit are told."""
        return self.private / "agreed.secret"

    @property
    def tan(self) -> Path:
        """The TAN as the operator at the module keyed it in."""
        return self.private / "keyed-in.tan"

    def type_tan(self) -> None:
        """Do what the operator does who opens the envelope; the sheet is destroyed."""
        self._secret(self.tan.name, self._read_sheet("tan"))
        self.sheet.unlink()

    @property
    def mobiles(self) -> Path:
        """The mobiles that the unit believes."""
        return self.private / "mobiles"

    def believe(self, mobile: str) -> None:
        """Do what a person at the unit does who was told of a mobile."""
        self._secret(self.mobiles.name, f"{mobile} {MOBILE}")

    def _read_sheet(self, what: str) -> str:
        return self.sheet.read_text("utf-8").partition(f'class="{what}">')[2].partition("<")[0]

    def pin(self, person: str) -> Path:
        """The file with a person's PIN."""
        return self.private / f"{person}.pin"

    def files(self) -> list[str]:
        """What there is to look at, sorted."""
        return sorted(path.name for path in self.directory.iterdir() if path.is_file() and path.name != _MARK)

    def finish(self) -> None:
        """The certificate that is valid now, under its own name."""
        shutil.copyfile(self.pem("module-2"), self.pem("module"))
