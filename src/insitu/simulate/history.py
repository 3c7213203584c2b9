"""What has really happened in a simulated world, as nobody in it knows it; and the events from which that is made.

Invariants compare events with it (invariants.py), then it takes them in. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ..protocol.engine import KeyHandle, given
from ..protocol.keys.software import SoftwareKeyStore
from ..protocol.keys.vault import Vault
from ..protocol.messages import ModuleCondition, ModuleRecord, TrustOption
from ..protocol.progress import Secured
from ..protocol.stores.card_log import Intent, ListIntent, Result
from ..protocol.stores.registry import Change, ModuleEntry

PART: Final = 8
"""Bytes of secrets that are looked for at once; eight of them occur nowhere by chance."""


class Violation(Exception):
    """Something happened that must not happen.

    Attributes:
        invariant: which one is violated.

    """

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


# Events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModuleWrote:
    """A module's record is durable from now on, or was found after a power cut in the middle of its write.

    Attributes:
        before: the one before; None: the first, or nobody can tell any more what was before.
        vault: with its keys.

    """

    serial: str
    before: ModuleRecord | None
    after: ModuleRecord
    vault: Vault


@dataclass(frozen=True, slots=True)
class RegistryWrote:
    """A session wrote into the registry of the central system `host`, which several machines may share."""

    host: str
    before: ModuleEntry | None
    after: ModuleEntry
    change: Change


@dataclass(frozen=True, slots=True)
class ModuleAdmitted:
    """The central system `host` let a module in, on whichever machine."""

    host: str
    entry: ModuleEntry


@dataclass(frozen=True, slots=True)
class CardLogged:
    """A card wrote an intent or a result into its log."""

    card: str
    what: Intent | ListIntent | Result


@dataclass(frozen=True, slots=True)
class HostDecided:
    """The host was asked about an authorization."""

    serial: str
    number: int
    amount: int


@dataclass(frozen=True, slots=True)
class PayOutShown:
    """The ATM controller was told to pay out, or not to."""

    serial: str
    number: int
    amount: int


@dataclass(frozen=True, slots=True)
class SecretServed:
    """A symmetric key was used at `at`, true time."""

    serial: str
    not_after: int
    at: int


@dataclass(frozen=True, slots=True)
class ChannelSecured:
    """A channel stands, as one end of it says."""

    pinned: TrustOption
    note: Secured


@dataclass(frozen=True, slots=True)
class ModuleReportedDone:
    """A unit says that it has personalized a module with this certificate, DER."""

    serial: str
    certificate: bytes


@dataclass(frozen=True, slots=True)
class TanTried:
    """The TAN with this label is about to be used in an attempt."""

    serial: str
    label: str


@dataclass(frozen=True, slots=True)
class PayloadSealed:
    """A party puts this into an open channel."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class MessageSeen:
    """Somebody in the network sees a message."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class LineWritten:
    """A line for people, or a note's text."""

    text: str


@dataclass(frozen=True, slots=True)
class StoreFound:
    """A module's store does not hold what was promised.

    Attributes:
        may_be: its disk lies, or somebody put an old copy back.

    """

    serial: str
    may_be: bool


@dataclass(frozen=True, slots=True)
class RemainsFound:
    """What a write replaced is still on the medium."""

    serial: str


PASSING: Final = (LineWritten, MessageSeen, PayloadSealed)
"""Events that leave nothing to be remembered; most are of these."""


# History -----------------------------------------------------------------------------------------------------


@dataclass
class StandingLeft:
    """What people agreed to at once: for which modules, and how many certificates are left of it."""

    serials: tuple[str, ...]
    left: int


@dataclass
class History:
    """What has really happened.

    Attributes:
        now: true time, unix seconds.
        points: the public keys that each module made, uncompressed points.
        operating: the public key of each operating pair that was ever durable, with its module.
        accepted: the certificate that each module accepted in each of its epochs, by serial number and epoch.
        retired: fingerprints of certificates that a central system took for worthless, by host.
        lost: fingerprints of the issuers that each host has disabled, by host, and since when.
        revoked: the certificates on lists that each host took in, by host, issuer and number, and since when.
        withdrawn: modules on the manufacturer's list, by the unit whose card has it, and since when.
        customers, centrals: certificates that exist, DER, and the customer's name.
        owners: the customer of each module.
        approved: approvals that people gave, by number of the job.
        standing: standing approvals that they gave, likewise.
        intents: what each card announced, by number of the job.
        results: jobs for which a certificate was made.
        decided: what the host was asked to decide, by serial number and number; the amount.
        instructed: what the ATM controller was told, likewise.
        given: contents of payloads that controllers gave, with their module.
        taken: contents that a host took in.
        parts: of all secrets that cross no channel: see `keep_secret`.
        epochs: the epoch of each module, as its store has it.
        tans: those that were tried, by module and label.
        words: beginnings of the texts that are secret.
        tainted: modules whose store was put back, or lies on a disk that lies.

    """

    now: Callable[[], int]
    points: dict[str, set[bytes]] = field(default_factory=dict)
    operating: dict[bytes, str] = field(default_factory=dict)
    accepted: dict[tuple[str, int], bytes] = field(default_factory=dict)
    retired: dict[str, set[bytes]] = field(default_factory=dict)
    lost: dict[str, dict[bytes, int]] = field(default_factory=dict)
    revoked: dict[str, dict[tuple[bytes, int], int]] = field(default_factory=dict)
    withdrawn: dict[str, dict[str, int]] = field(default_factory=dict)
    customers: dict[bytes, str] = field(default_factory=dict)
    centrals: dict[bytes, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    approved: dict[bytes, set[str]] = field(default_factory=dict)
    standing: dict[bytes, StandingLeft] = field(default_factory=dict)
    intents: dict[bytes, Intent | ListIntent] = field(default_factory=dict)
    results: set[bytes] = field(default_factory=set)
    decided: dict[tuple[str, int], int] = field(default_factory=dict)
    instructed: dict[tuple[str, int], int] = field(default_factory=dict)
    given: dict[bytes, str] = field(default_factory=dict)
    taken: set[bytes] = field(default_factory=set)
    parts: set[bytes] = field(default_factory=set)
    epochs: dict[str, int] = field(default_factory=dict)
    tans: set[tuple[str, str]] = field(default_factory=set)
    words: tuple[str, ...] = ()
    tainted: set[str] = field(default_factory=set)

    def keep_secret(self, vault: Vault, key: KeyHandle) -> None:
        """There is a new pair, whose private half nobody may ever hear of."""
        if isinstance(vault.storage, SoftwareKeyStore):  # a token tells nobody
            secret = vault.storage.private_bytes_for_sealing(key.label)
            self.parts.update(secret[at : at + PART] for at in range(PART))

    def is_secret_in(self, data: bytes) -> bool:
        """Whether the first bytes of a secret, fifteen at least, are anywhere in `data`.

        Wherever they begin, a part of them begins there at a multiple of eight.
        """
        return not self.parts.isdisjoint([data[at : at + PART] for at in range(0, len(data), PART)])

    def take_in(self, event: object) -> None:
        """It has happened, and no invariant speaks against it."""
        if isinstance(event, PASSING):
            return
        if isinstance(event, ModuleWrote):
            self.epochs[event.serial] = event.after.epoch
        match event:
            case ModuleWrote(serial, _, after, vault) if after.condition is ModuleCondition.OPERATING:
                public = given(vault.find(given(after.key))).public.data
                if public not in self.operating:
                    self.operating[public] = serial
                self.accepted[serial, after.epoch] = given(after.fingerprint)
            case RegistryWrote(host, before, after):
                if before is not None and before.fingerprint != after.fingerprint:
                    self.retired.setdefault(host, set()).add(before.fingerprint)
                if event.change.delivery is not None:
                    self.taken.add(event.change.delivery.payload)
            case CardLogged(_, (Intent() | ListIntent()) as intent):
                self.intents[intent.job] = intent
                if isinstance(intent, Intent) and intent.standing in self.standing:
                    self.standing[intent.standing].left -= 1
            case CardLogged(_, Result() as result):
                self.results.add(result.job)
            case HostDecided(serial, number, amount):
                self.decided[serial, number] = amount
            case PayOutShown(serial, number, amount):
                self.instructed[serial, number] = amount
            case TanTried(serial, label):
                self.tans.add((serial, label))
            case StoreFound(serial):
                self.tainted.add(serial)
            case _:
                pass
