"""Ports: how effects that leave the core are performed. One function, for every driver, desk, test and checker.

Nothing here decides anything. What a port raises as an EnvironmentFault for a key operation comes back as an
event; what storage raises goes up, since nothing may be promised after a failed write.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .engine import (
    Agree,
    Agreed,
    Consult,
    Effect,
    FinishPake,
    Forward,
    GenerateKey,
    InsituError,
    KeyOperation,
    KeyOperationFailed,
    KeyPairMade,
    KeyRewrapped,
    KeyUnwrapped,
    LookUp,
    PakeFinished,
    PakeStarted,
    Persist,
    RewrapKey,
    SecretUsed,
    Show,
    Sign,
    Signed,
    StartPake,
    UnwrapKey,
    UsageError,
    UseSecret,
)
from .keys.port import KeyStore


def _no_look_up(effect: LookUp) -> object:
    raise UsageError("nothing can be looked up here", expected="a look_up port", got=effect.what)


def _nobody(effect: Consult) -> object:
    raise UsageError("nobody can be asked here", expected="a consult port", got=type(effect.question).__name__)


def _nobody_else(message: object) -> None:
    raise UsageError("no second link here", expected="a forward port", got=type(message).__name__)


def _no_commit(record: object, keep: frozenset[str] | None) -> None:
    raise UsageError("nothing can be stored here", expected="a commit port", got=type(record).__name__)


def _ignore(note: object) -> None:
    """Show to nobody."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The surroundings of one party.

    Attributes:
        keys: its key memory.
        commit: writes a record durably, with the key pairs named in `keep` (None: keys as they are); all or
            nothing, and on the medium when it returns.
        look_up: answers a LookUp with the event that the party's table awaits.
        consult: answers a Consult with the event that the party's table awaits; given up when the session ends.
        confer: the same by trio, for a person at a device; used instead of `consult` where it is there.
        forward: hands a message to whom else this party is connected with; at once, and nothing comes back this way.
        blocking: `commit`, `look_up` and `consult` take time, where a person is asked minutes; a driver then calls
            them from a worker thread.
        patient: that is so of `consult` only.
        show: takes notes and progress for the person or program that runs the party.

    """

    keys: KeyStore
    commit: Callable[[object, frozenset[str] | None], None] = _no_commit
    look_up: Callable[[LookUp], object] = _no_look_up
    consult: Callable[[Consult], object] = _nobody
    confer: Callable[[Consult], Awaitable[object]] | None = None
    forward: Callable[[object], None] = _nobody_else
    show: Callable[[object], None] = _ignore
    blocking: bool = False
    patient: bool = False

    @property
    def asks_people(self) -> bool:
        """Whether there is somebody to be asked who takes time."""
        return self.confer is not None or ((self.blocking or self.patient) and self.consult is not _nobody)


def perform(effect: Effect, ports: Ports) -> object | None:
    """Perform one effect; the event it leads to, or None. Send, Close and timers are not for ports.

    Raises:
        InsituError: storage or a look-up failed.

    """
    match effect:
        case Consult():
            return ports.consult(effect)
        case Show(note):  # by far the most frequent
            ports.show(note)
        case Forward(message):
            ports.forward(message)
        case GenerateKey() | Sign() | Agree() | UnwrapKey() | RewrapKey() | UseSecret() | StartPake() | FinishPake():
            try:
                return operate(effect, ports.keys)
            except InsituError as error:
                return KeyOperationFailed(str(error))
        case Persist(record, keep):
            ports.commit(record, keep)
        case LookUp():
            return ports.look_up(effect)
        case _:
            raise UsageError("no port performs this", got=type(effect).__name__)
    return None


def operate(effect: KeyOperation, keys: KeyStore) -> object:
    """One key operation, in key memory; may block where `keys.answers_at_once` is False."""
    match effect:
        case GenerateKey(label, kind, salt):
            return KeyPairMade(keys.generate(label, kind, salt))
        case Sign(key, message):
            return Signed(keys.sign(key, message))
        case Agree(key, peer):
            return Agreed(keys.agree(key, peer))
        case UnwrapKey(label, wrapping, block):
            return KeyUnwrapped(keys.unwrap(label, wrapping, block))
        case RewrapKey(block, wrapping):
            return KeyRewrapped(keys.rewrap(block, wrapping))
        case UseSecret(secret, operation):
            return SecretUsed(keys.use(secret, operation))
        case StartPake(label, password, begins, identities):
            return PakeStarted(keys.start_pake(label, password, identities, begins=begins))
        case FinishPake(label, share):
            return PakeFinished(keys.finish_pake(label, share))
