"""A module in the words of XFS4IoT: its KeyManagement status, and what a command answers that failed.

For a service that offers the module to XFS4IoT clients. The strings are those of the specification's interfaces
Common, KeyManagement, Crypto and PinPad; which of ours means which is decided here and nowhere else. No XFS4IoT
messages are made here. `python -m insitu.embed.xfs` writes docs/xfs4iot.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ..protocol.channel.edhoc.messages import PeerRefused
from ..protocol.engine import EnvironmentFault, InsituError, ProtocolError, Refused, StateError, TableError, UsageError
from ..protocol.keys.codes import CodeRefused
from ..protocol.keys.keyblock import KeyBlockRefused
from ..protocol.keys.port import KeyExists, KeyMismatch, KeyMissing, KeyRefused, KeyStoreError
from ..protocol.keys.reading import CertificateRefused
from ..protocol.keys.split_vault import SignersAbsent
from ..protocol.messages import DecodeError
from ..protocol.messages.wire import FieldError
from ..protocol.parties.module_data import ModuleState
from ..protocol.parties.work_keys import MethodExcluded, SecretExpired, SecretMissing, SecretUnusable, SecretUnvouched
from ..protocol.session import PeerRefusedError
from ..protocol.stores.atomic import ErasureFailed, StoreFailed, StoreUncertain
from ..protocol.stores.card_log import LogBroken
from ..protocol.stores.counter import CounterAhead, CounterFailed, RolledBack
from ..protocol.stores.files import StoreLocked
from ..protocol.stores.sealed import (
    ForeignFile,
    StoreDamaged,
    StoreExists,
    StoreMissing,
    StoreTruncated,
    WrongKind,
    WrongPassphrase,
    WrongVersion,
)
from ..shell.attempts import LinkPaused
from ..shell.work import NotOnline, NotOperating
from ..transports import errors as transports
from .controller import Status
from .thread import ModuleEnded, NoAnswer, NotRunning


class EncryptionState(Enum):
    """KeyManagement.Status, encryptionState."""

    READY = "ready"
    NOT_READY = "notReady"
    NOT_INITIALIZED = "notInitialized"
    BUSY = "busy"
    UNDEFINED = "undefined"
    INITIALIZED = "initialized"


class CertificateState(Enum):
    """KeyManagement.Status, certificateState. SECONDARY never: the module holds one root key, for life."""

    UNKNOWN = "unknown"
    PRIMARY = "primary"
    SECONDARY = "secondary"
    NOT_READY = "notReady"


class CompletionCode(Enum):
    """The header's completionCode, as far as it is used here."""

    SUCCESS = "success"
    COMMAND_ERROR_CODE = "commandErrorCode"
    DEVICE_NOT_READY = "deviceNotReady"
    HARDWARE_ERROR = "hardwareError"
    INTERNAL_ERROR = "internalError"
    TIME_OUT = "timeOut"
    INVALID_DATA = "invalidData"
    UNSUPPORTED_DATA = "unsupportedData"
    SEQUENCE_ERROR = "sequenceError"


class ErrorCode(Enum):
    """A command's errorCode, as far as it is used here; which commands have it, see COMMANDS."""

    ACCESS_DENIED = "accessDenied"
    KEY_NOT_FOUND = "keyNotFound"
    KEY_NO_VALUE = "keyNoValue"
    USE_VIOLATION = "useViolation"
    CRYPTO_METHOD_NOT_SUPPORTED = "cryptoMethodNotSupported"
    DUPLICATE_KEY = "duplicateKey"
    INVALID_VALUE = "invalidValue"
    SIGNATURE_INVALID = "signatureInvalid"
    FORMAT_INVALID = "formatInvalid"


_E: Final = ErrorCode
_EVERYWHERE: Final = frozenset({_E.ACCESS_DENIED})
_WITH_A_KEY: Final = _EVERYWHERE | {_E.KEY_NOT_FOUND, _E.KEY_NO_VALUE, _E.USE_VIOLATION}
COMMANDS: Final = {
    "Crypto.GenerateAuthentication": _WITH_A_KEY | {_E.CRYPTO_METHOD_NOT_SUPPORTED},
    "PinPad.GetPinBlock": _WITH_A_KEY | {_E.CRYPTO_METHOD_NOT_SUPPORTED},
    "KeyManagement.Initialization": _WITH_A_KEY | {_E.SIGNATURE_INVALID},
    "KeyManagement.ImportKey": _WITH_A_KEY
    | {
        _E.CRYPTO_METHOD_NOT_SUPPORTED,
        _E.DUPLICATE_KEY,
        _E.INVALID_VALUE,
        _E.SIGNATURE_INVALID,
        _E.FORMAT_INVALID,
    },
    "KeyManagement.LoadCertificate": _EVERYWHERE | {_E.SIGNATURE_INVALID, _E.FORMAT_INVALID},
}
"""Which of these error codes the specification gives which command: where `mac`, `encrypt_pin_block`, `reset_by_hand`,
a key from the host and a personalization would be offered."""


@dataclass(frozen=True, slots=True)
class KeyManagementStatus:
    """The two properties of KeyManagement's status."""

    encryption_state: EncryptionState
    certificate_state: CertificateState


@dataclass(frozen=True, slots=True)
class Completion:
    """How a command ended. `error_code` if and only if the completion code is commandErrorCode."""

    completion_code: CompletionCode
    error_code: ErrorCode | None = None


# States --------------------------------------------------------------------------------------------------------

_S: Final = EncryptionState
_C: Final = CertificateState

STATES: Final[dict[ModuleState, tuple[KeyManagementStatus, str]]] = {
    ModuleState.BLANK: (KeyManagementStatus(_S.NOT_INITIALIZED, _C.UNKNOWN), "never delivered: no root key"),
    ModuleState.IDENTIFYING: (KeyManagementStatus(_S.BUSY, _C.UNKNOWN), "delivery"),
    ModuleState.PREPARING: (KeyManagementStatus(_S.BUSY, _C.UNKNOWN), "delivery"),
    ModuleState.IDENTIFIED: (KeyManagementStatus(_S.BUSY, _C.UNKNOWN), "delivery"),
    ModuleState.DELIVERED: (KeyManagementStatus(_S.NOT_INITIALIZED, _C.PRIMARY), "no operating key yet"),
    ModuleState.SECURED: (KeyManagementStatus(_S.BUSY, _C.PRIMARY), "personalization"),
    ModuleState.KEYING: (KeyManagementStatus(_S.BUSY, _C.PRIMARY), "personalization"),
    ModuleState.PROVING: (KeyManagementStatus(_S.BUSY, _C.PRIMARY), "personalization"),
    ModuleState.KEYED: (KeyManagementStatus(_S.BUSY, _C.PRIMARY), "personalization"),
    ModuleState.WAITING: (KeyManagementStatus(_S.BUSY, _C.PRIMARY), "personalization: people are asked"),
    ModuleState.CONFIRMING: (KeyManagementStatus(_S.BUSY, _C.PRIMARY), "personalization"),
    ModuleState.OPERATING: (
        KeyManagementStatus(_S.INITIALIZED, _C.PRIMARY),
        "personalized; `ready` once the host has loaded a symmetric key",
    ),
    ModuleState.RESET: (KeyManagementStatus(_S.NOT_INITIALIZED, _C.PRIMARY), "keys and certificates are erased"),
}
"""What each state means. `Controller.status` shows only those that last."""

READY: Final = KeyManagementStatus(_S.READY, _C.PRIMARY)
NOT_RUNNING: Final = KeyManagementStatus(_S.NOT_READY, _C.NOT_READY)
NOT_KNOWN: Final = KeyManagementStatus(_S.UNDEFINED, _C.UNKNOWN)


def key_management_status(status: Status | InsituError) -> KeyManagementStatus:
    """What to report of a module; of one whose `status()` raised, give the error."""
    if isinstance(status, (StoreUncertain, NoAnswer)):
        return NOT_KNOWN
    if isinstance(status, InsituError):
        return NOT_RUNNING
    if status.state is ModuleState.OPERATING and status.check_values:
        return READY
    return STATES[status.state][0]


# Errors --------------------------------------------------------------------------------------------------------


def _refused(code: ErrorCode) -> Completion:
    return Completion(CompletionCode.COMMAND_ERROR_CODE, code)


_NOT_READY: Final = Completion(CompletionCode.DEVICE_NOT_READY)
_HARDWARE: Final = Completion(CompletionCode.HARDWARE_ERROR)
_INTERNAL: Final = Completion(CompletionCode.INTERNAL_ERROR)
_INVALID: Final = Completion(CompletionCode.INVALID_DATA)
_SEQUENCE: Final = Completion(CompletionCode.SEQUENCE_ERROR)

ERRORS: Final[dict[type[Exception], Completion]] = {
    InsituError: _INTERNAL,
    TableError: _INTERNAL,
    # the caller's
    UsageError: _INVALID,
    FieldError: _INVALID,
    KeyExists: _refused(_E.DUPLICATE_KEY),
    KeyRefused: _refused(_E.USE_VIOLATION),
    CodeRefused: _INVALID,
    StoreMissing: _NOT_READY,
    StoreExists: _NOT_READY,
    ForeignFile: _NOT_READY,
    WrongKind: _NOT_READY,
    WrongVersion: _NOT_READY,
    WrongPassphrase: _NOT_READY,
    # not in this state
    StateError: _SEQUENCE,
    SignersAbsent: _SEQUENCE,
    NotRunning: _NOT_READY,
    NotOnline: _NOT_READY,
    LinkPaused: _NOT_READY,
    NotOperating: _refused(_E.ACCESS_DENIED),
    SecretUnusable: _refused(_E.ACCESS_DENIED),
    SecretMissing: _refused(_E.KEY_NOT_FOUND),
    SecretExpired: _refused(_E.KEY_NO_VALUE),
    SecretUnvouched: _refused(_E.ACCESS_DENIED),
    MethodExcluded: _refused(_E.CRYPTO_METHOD_NOT_SUPPORTED),
    RolledBack: _NOT_READY,
    CounterAhead: _NOT_READY,
    # the peer's
    ProtocolError: _refused(_E.ACCESS_DENIED),
    Refused: _SEQUENCE,
    PeerRefused: _refused(_E.ACCESS_DENIED),
    PeerRefusedError: _refused(_E.ACCESS_DENIED),
    DecodeError: _refused(_E.FORMAT_INVALID),
    CertificateRefused: _refused(_E.SIGNATURE_INVALID),
    KeyBlockRefused: _refused(_E.INVALID_VALUE),
    # nobody's
    EnvironmentFault: _HARDWARE,
    NoAnswer: Completion(CompletionCode.TIME_OUT),
    ModuleEnded: _NOT_READY,
    StoreLocked: _NOT_READY,
    StoreFailed: _HARDWARE,
    StoreUncertain: _HARDWARE,
    StoreTruncated: _HARDWARE,
    StoreDamaged: _HARDWARE,
    LogBroken: _HARDWARE,
    ErasureFailed: _HARDWARE,
    CounterFailed: _HARDWARE,
    KeyStoreError: _HARDWARE,
    KeyMissing: _refused(_E.KEY_NOT_FOUND),
    KeyMismatch: _HARDWARE,
    # the link's
    transports.TransportError: _HARDWARE,
    transports.AddressError: _INVALID,
    transports.FrameError: _HARDWARE,
    transports.FrameTruncated: _HARDWARE,
    transports.PeerRefused: _HARDWARE,
    transports.LinkError: _HARDWARE,
    transports.NameUnknown: _NOT_READY,
    transports.ConnectionRefused: _NOT_READY,
    transports.Unreachable: _NOT_READY,
    transports.AddressInUse: _NOT_READY,
    transports.PortNotFound: _NOT_READY,
    transports.PortBusy: _NOT_READY,
    transports.PortDenied: _NOT_READY,
    transports.NotASerialPort: _NOT_READY,
    transports.NotADevice: _NOT_READY,
    transports.Unsupported: Completion(CompletionCode.UNSUPPORTED_DATA),
    transports.NoAnswer: _NOT_READY,
    transports.LinkBroken: _HARDWARE,
}
"""What each error of ours means. A class that is not here means what its nearest base means."""

SUCCESS: Final = Completion(CompletionCode.SUCCESS)


def completion(error: BaseException | None) -> Completion:
    """How a command ends whose call into the controller raised `error`, or returned: None."""
    if error is None:
        return SUCCESS
    return next((ERRORS[each] for each in type(error).__mro__ if each in ERRORS), _INTERNAL)


# The document --------------------------------------------------------------------------------------------------


def document() -> Iterator[str]:
    """docs/xfs4iot.md, line by line."""
    yield from _INTRODUCTION.strip().splitlines()
    yield from ("", "## States", "", "| state | encryptionState | certificateState | |", "|---|---|---|---|")
    for state, (status, why) in STATES.items():
        yield f"| {state.name} | {status.encryption_state.value} | {status.certificate_state.value} | {why} |"
    for name, status, why in (
        ("OPERATING", READY, "with a symmetric key"),
        ("-", NOT_RUNNING, "`status()` raised: the module does not run"),
        ("-", NOT_KNOWN, "`status()` raised StoreUncertain or NoAnswer"),
    ):
        yield f"| {name} | {status.encryption_state.value} | {status.certificate_state.value} | {why} |"
    yield from ("", "## Errors", "", "| error | completionCode | errorCode | meaning |", "|---|---|---|---|")
    for error, ends in ERRORS.items():
        meaning = (error.__doc__ or "").splitlines()[0].split(". ")[0].rstrip(".").replace("|", "\\|")
        code = "" if ends.error_code is None else ends.error_code.value
        name = f"transports.{error.__name__}" if error.__module__ == transports.__name__ else error.__name__
        yield f"| {name} | {ends.completion_code.value} | {code} | {meaning} |"
    yield from ("| any other | internalError | | a mistake of ours |", "", "## Commands", "")
    yield from ("| command | error codes used |", "|---|---|")
    for command, codes in COMMANDS.items():
        yield f"| {command} | {', '.join(sorted(code.value for code in codes))} |"


_INTRODUCTION: Final = """
# In the words of XFS4IoT

Written by `python -m insitu.embed.xfs` (`make specs`); do not edit. A service that offers the module to XFS4IoT
clients takes its status from `key_management_status` and the end of a failed command from `completion`, both of
`insitu.embed.xfs`:

```python
from insitu.embed.xfs import completion, key_management_status
```

The strings are those of the XFS4IoT specification's interfaces Common, KeyManagement, Crypto and PinPad. Where it
leaves room:

- A key's name is its usage (`mac`, `pin`). A usage without a key is keyNotFound. A key that has expired is
  keyNoValue, once: it is erased by that call, and keyNotFound afterwards.
- accessDenied is what the specification says of a module that is not initialized or not ready for a reason of its
  maker's: it does not operate, or nobody vouches for its store yet.
- certificateState speaks of the root key that the manufacturer left in the module: primary from delivery on, through
  every reset. There is no second one, so secondary never comes.
- Nothing is said of the link to the host: a module without a session is as initialized as one with. `Status.online`
  tells.
"""


if __name__ == "__main__":
    print("\n".join(document()))  # noqa: T201 - the document is what it is run for
