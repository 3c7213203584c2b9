"""The messages of a personalization, in the order in which they travel. Declarations only.

Every docstring carries the CDDL (RFC 8610) of its class under "CDDL::"; specs/messages.cddl is made of these. Rules
that several messages share:

CDDL::

    epoch = count        ; how many resets the module has seen
    unix-time = count    ; seconds since 1970-01-01T00:00:00Z
    certificate = bstr .size (1..4096)  ; X.509, DER
    signature = bstr .size 64           ; ECDSA with SHA-256 on P-256, r || s
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, TypeAlias

from .fields import Key, Size, Within
from .wire import message

CERTIFICATE_MAX: Final = 4096
"""The longest certificate that a message carries, in bytes."""

Certificate: TypeAlias = Annotated[bytes, Size(1, CERTIFICATE_MAX)]
Signature: TypeAlias = Annotated[bytes, Size(64)]
Fingerprint: TypeAlias = Annotated[bytes, Size(32)]


class KeyPolicy(IntEnum):
    """Which key pair the module may present (L3).

    CDDL::

        key-policy = &(
          new: 0,
          manufacture-admitted: 1,
        )
    """

    NEW = 0
    """A new one, made for this personalization."""
    MANUFACTURE_ADMITTED = 1
    """One made at manufacture is admitted at the first personalization; after a reset always a new one."""


class ModuleCondition(IntEnum):
    """What a module tells about its life so far (L2).

    CDDL::

        module-condition = &(
          delivered: 0,
          operating: 1,
          reset: 2,
        )
    """

    DELIVERED = 0
    OPERATING = 1
    RESET = 2


@message(1)
class GenerateKeyPair:
    """Unit to module: make the key pair that is to operate (L3).

    Attributes:
        job: names the personalization job that the card's approvers released; 16 bytes.
        salt: influences the key pair and never determines it (S7); 32 bytes.
        policy: which key pair will do.
        time: the unit's clock in unix seconds; a floor for the module's clock.

    CDDL::

        GenerateKeyPair = {
          0: 1,
          1: bstr .size 16,  ; job
          2: bstr .size 32,  ; salt
          3: key-policy,
          4: unix-time,
        }

    """

    job: Annotated[bytes, Key(1), Size(16)]
    salt: Annotated[bytes, Key(2), Size(32)]
    policy: Annotated[KeyPolicy, Key(3)]
    time: Annotated[int, Key(4)]


@message(2)
class ModuleKey:
    """Module to unit: the public half, and a proof that the private half is held (L4).

    Attributes:
        public_key: compressed SEC 1 point on P-256; 33 bytes.
        proof: signature by the new key over the session's exporter value; 64 bytes.

    CDDL::

        ModuleKey = {
          0: 2,
          1: bstr .size 33,  ; public key, compressed SEC 1 point on P-256
          2: signature,      ; proof of possession
        }

    """

    public_key: Annotated[bytes, Key(1), Size(33)]
    proof: Annotated[Signature, Key(2)]


LONGEST_WAIT: Final = 3600
"""Seconds that a unit may let a module wait for people."""


@message(9)
class ApprovalAwaited:
    """Unit to module: people are asked whether this key is certified; the link stays open meanwhile (L13).

    Attributes:
        seconds: how long the unit waits for them.

    CDDL::

        ApprovalAwaited = {
          0: 9,
          1: 1..3600,  ; seconds
        }

    """

    seconds: Annotated[int, Key(1), Within(1, LONGEST_WAIT)]


@message(3)
class Certificates:
    """Unit to module: everything that operating needs (L4, L5, L6).

    Attributes:
        module: the operating certificate, signed by the card; DER, 1 to 4096 bytes.
        central: the central system's certificate, signed by the card; DER.
        customer: the unit's signing certificate, signed by the manufacturer; DER; None where the handshake
            carried it already.

    CDDL::

        Certificates = {
          0: 3,
          1: certificate,    ; module
          2: certificate,    ; central
          ? 3: certificate,  ; customer
        }

    """

    module: Annotated[Certificate, Key(1)]
    central: Annotated[Certificate, Key(2)]
    customer: Annotated[Certificate | None, Key(3)] = None


@message(4)
class Personalized:
    """Module to unit: all verified and written; the module operates from now on (L7).

    Attributes:
        signature: by the new key over the digest of what was written; 64 bytes.

    CDDL::

        Personalized = {
          0: 4,
          1: signature,
        }

    """

    signature: Annotated[Signature, Key(1)]


@message(5)
class Status:
    """Module to unit: why no personalization takes place, so that a lost Personalized is recognised (L7, S1).

    Attributes:
        condition: where in its life the module stands.
        epoch: how many resets it has seen.
        fingerprint: SHA-256 of its operating certificate, 32 bytes; None where it has none.

    CDDL::

        Status = {
          0: 5,
          1: module-condition,
          2: epoch,
          ? 3: bstr .size 32,  ; fingerprint
        }

    """

    condition: Annotated[ModuleCondition, Key(1)]
    epoch: Annotated[int, Key(2)]
    fingerprint: Annotated[Fingerprint | None, Key(3)] = None
