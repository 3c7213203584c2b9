"""What one side brings to its handshakes: pins, credential, identifiers, EAD. Good for any number of sessions.

Everything that must not be negotiated away is pinned here before the link opens (S13). What is fresh for each
session, the entropy, is not here.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ...engine import KeyHandle, KeyKind, UsageError
from ..cose import KEY_KINDS
from .credentials import ALL_KINDS, Credential, IdCred
from .curves import ENTROPY_BYTES, EphemeralKey
from .ead import Ead
from .stages import WHO, Secretive
from .suites import SUITES, Method

EphemeralSource: TypeAlias = Callable[[KeyKind, int], EphemeralKey]
"""Gives a fresh pair on this curve for this attempt of the session (0 is the first)."""

MIN_ENTROPY_BYTES: Final = 64


class Entropy(Secretive):
    """The ephemeral pairs of one session, derived from the entropy that was drawn for it.

    Each is one block of HKDF-Expand (RFC 5869) over SHA-512, whose key the entropy is.

    Args:
        seed: at least 64 bytes, unpredictable, used for one session of one side only.
        side: separates the sides of a simulation that share a seed.

    Raises:
        UsageError: a shorter seed.

    """

    __slots__ = ("_seed", "_side")

    def __init__(self, seed: bytes, side: str) -> None:
        if len(seed) < MIN_ENTROPY_BYTES:
            raise UsageError("entropy", who=WHO, expected=f"at least {MIN_ENTROPY_BYTES} bytes", got=len(seed))
        self._seed = seed
        self._side = side

    def __call__(self, kind: KeyKind, attempt: int) -> EphemeralKey:
        """The pair on curve `kind` for the attempt with this number."""
        label = f"insitu edhoc ephemeral {self._side} {kind.value} {attempt}"
        block = hmac.digest(self._seed, label.encode() + b"\x01", "sha512")
        return EphemeralKey.generate(kind, block[: ENTROPY_BYTES[kind]])


@dataclass(frozen=True, slots=True)
class Own:
    """A side's own credential as it enters the messages: encoded once, used in every session.

    Attributes:
        id_cred: ID_CRED_x, the header map.
        compact: as it stands in a plaintext.
        cred: CRED_x.

    """

    id_cred: bytes
    compact: bytes
    cred: bytes

    @classmethod
    def of(cls, credential: Credential) -> Own:
        """The encodings of `credential`."""
        return cls(credential.id_cred.encoded, credential.id_cred.compact, credential.cred)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitiatorConfig:
    """The initiator's side.

    Attributes:
        method: pinned.
        suites: numbers of the suites it supports, most preferred first; the only ones it will ever run.
        credential: what it proves itself with.
        key: handle of the pair whose public half is in the credential.
        c_i: connection identifier.
        selected: the suite to offer first, where the responder is known to prefer it; by default the first.
        ead_1, ead_3: EAD items to send; more for message_3 may come with CredentialFound.
        ead_labels: labels that the application processes, when they come as critical items.
        peer_kinds: the kinds of ID_CRED_R that it admits.
        own: the credential with its identification, encoded; made from `credential`.

    Raises:
        UsageError: an unknown suite, a key that does not belong to the credential, or one that does not serve
            for the method in each of the suites.

    """

    method: Method
    suites: tuple[int, ...]
    credential: Credential
    key: KeyHandle
    c_i: bytes
    selected: int | None = None
    ead_1: tuple[Ead, ...] = ()
    ead_3: tuple[Ead, ...] = ()
    ead_labels: frozenset[int] = frozenset()
    peer_kinds: frozenset[type[IdCred]] = ALL_KINDS
    own: Own = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", Own.of(self.credential))
        _check_suites(self.suites)
        if self.selected is not None and self.selected not in self.suites:
            raise UsageError("selected suite", who=WHO, expected=self.suites, got=self.selected)
        _check_key(self.credential, self.key, self.suites, signs=self.method.initiator_signs)


def _admit_all(_items: tuple[Ead, ...]) -> None:
    """Any EAD_1 will do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponderConfig:
    """The responder's side.

    Attributes:
        methods: the methods it admits.
        suites: numbers of the suites it supports, in any order.
        credential: what it proves itself with.
        key: handle of the pair whose public half is in the credential.
        c_r: connection identifier.
        ead_2, ead_4: EAD items to send; more for message_4 may come with CredentialFound.
        ead_labels: labels that the application processes, when they come as critical items.
        peer_kinds: the kinds of ID_CRED_I that it admits.
        admits_ead_1: looks at EAD_1 before anything is answered; raises a ProtocolError to refuse. Pure.
        own: the credential with its identification, encoded; made from `credential`.

    Raises:
        UsageError: as for the initiator.

    """

    methods: frozenset[Method]
    suites: tuple[int, ...]
    credential: Credential
    key: KeyHandle
    c_r: bytes
    ead_2: tuple[Ead, ...] = ()
    ead_4: tuple[Ead, ...] = ()
    ead_labels: frozenset[int] = frozenset()
    peer_kinds: frozenset[type[IdCred]] = ALL_KINDS
    admits_ead_1: Callable[[tuple[Ead, ...]], None] = _admit_all
    own: Own = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "own", Own.of(self.credential))
        _check_suites(self.suites)
        if not self.methods:
            raise UsageError("methods", who=WHO, expected="at least one", got="none")
        for method in self.methods:
            _check_key(self.credential, self.key, self.suites, signs=method.responder_signs)


def _check_suites(suites: tuple[int, ...]) -> None:
    if not suites or len(set(suites)) < len(suites) or not SUITES.keys() >= set(suites):
        raise UsageError("suites", who=WHO, expected=f"one or more of {sorted(SUITES)}, each once", got=suites)


def _check_key(credential: Credential, key: KeyHandle, suites: tuple[int, ...], *, signs: bool) -> None:
    if key.public != credential.public:
        raise UsageError(
            "the key does not belong to the credential", who=WHO, expected="the key in it", got=f"key {key.label!r}"
        )
    for number in suites:
        suite = SUITES[number]
        kind = KEY_KINDS[suite.signature] if signs else suite.exchange
        if key.public.kind is not kind:
            use = "a signature key" if signs else "a static Diffie-Hellman key"
            expected = f"{use} of {kind.value} for suite {number}"
            raise UsageError("authentication key", who=WHO, expected=expected, got=key.public.kind.value)
