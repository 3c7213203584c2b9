"""What module and central system tell each other at work besides authorizations: contact, payloads, keys, lists.

Declarations only; the rules on numbers are those of operating.py.

CDDL::

    payload = bstr .size (0..32768)  ; what the ATM controller and the host mean by it is theirs
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from ..engine import Fault
from .fields import Key, Matches, Secret, Size, Within
from .personalization import Fingerprint
from .wire import message

PAYLOAD_MAX: Final = 32_768
"""The longest opaque payload, in bytes."""
CRL_MAX: Final = 32_768
"""The longest certificate revocation list that a module takes, in bytes."""

PayloadBytes: TypeAlias = Annotated[bytes, Size(0, PAYLOAD_MAX), Secret()]
CheckValue: TypeAlias = Annotated[str, Size(8, 32), Matches("KCV[(](CMAC|ENC)[)]=[0-9A-F]+")]


@message(22)
class Greeting:
    """Module to central, first of all: how I stand, so that an old copy of my store is noticed (S4).

    Attributes:
        epoch: how many resets the module has seen.
        fingerprint: SHA-256 of its operating certificate, 32 bytes.
        generation: how often it has written its durable state; one more than whenever it said so before.
        last: the highest message number that it has given.

    CDDL::

        Greeting = {
          0: 22,
          1: epoch,
          2: bstr .size 32,  ; fingerprint
          3: count,          ; generation
          4: count,          ; last message number
        }

    """

    epoch: Annotated[int, Key(1)]
    fingerprint: Annotated[Fingerprint, Key(2)]
    generation: Annotated[int, Key(3)]
    last: Annotated[int, Key(4)]


@message(23)
class Welcome:
    """Central to module: you may work; what I have taken in so far, and what time it is.

    Attributes:
        time: of the central system, unix seconds; a floor for the module's clock (S8).
        taken: the highest message number of this module that was taken in; 0 for none.

    CDDL::

        Welcome = {
          0: 23,
          1: unix-time,
          2: count,      ; highest message number taken in
        }

    """

    time: Annotated[int, Key(1)]
    taken: Annotated[int, Key(2)]


@message(24)
class Payload:
    """Module to central: bytes from the ATM controller for the host (L10).

    Attributes:
        number: given by the module; Received repeats it.
        content: at most 32,768 bytes.

    CDDL::

        Payload = {
          0: 24,
          1: message-number,
          2: payload,
        }

    """

    number: Annotated[int, Key(1)]
    content: Annotated[PayloadBytes, Key(2)]


@message(25)
class Outcome:
    """Module to central: what became of an authorization; until then its money is reserved (L10).

    Attributes:
        number: given by the module; Received repeats it.
        transaction: the number of the Authorize.
        paid: what the customer got, in minor units; 0 where nothing was paid out.

    CDDL::

        Outcome = {
          0: 25,
          1: message-number,
          2: message-number,  ; of the Authorize
          3: minor-units,     ; paid
        }

    """

    number: Annotated[int, Key(1)]
    transaction: Annotated[int, Key(2)]
    paid: Annotated[int, Key(3)]


@message(26)
class Received:
    """Either side: I have this message of yours, durably (S10).

    Attributes:
        number: of the message; all before it are taken in, too.

    CDDL::

        Received = {
          0: 26,
          1: message-number,
        }

    """

    number: Annotated[int, Key(1)]


@message(27)
class Instruct:
    """Central to module: bytes from the host for the ATM controller (L10).

    Attributes:
        number: given by the central system for this module; Received repeats it.
        content: at most 32,768 bytes.

    CDDL::

        Instruct = {
          0: 27,
          1: message-number,
          2: payload,
        }

    """

    number: Annotated[int, Key(1)]
    content: Annotated[PayloadBytes, Key(2)]


@message(28)
class LoadKey:
    """Central to module: a symmetric key for older methods, for a limited time (L11).

    Attributes:
        number: given by the central system for this module; KeyLoaded repeats it.
        block: TR-31 version D key block under the channel's wrapping key.
        not_after: unix seconds after which the key is not used.
        uses: how often it may be used.

    CDDL::

        LoadKey = {
          0: 28,
          1: message-number,
          2: tstr .size (16..1024),  ; key block
          3: unix-time,              ; not after
          4: 1..4294967295,          ; uses
        }

    """

    number: Annotated[int, Key(1)]
    block: Annotated[str, Key(2), Size(16, 1024), Secret()]
    not_after: Annotated[int, Key(3)]
    uses: Annotated[int, Key(4), Within(1, (1 << 32) - 1)]


@message(29)
class KeyLoaded:
    """Module to central: the key is in key memory.

    Attributes:
        number: of the LoadKey.
        check_value: named by its method, as in "KCV(CMAC)=1A2B3C4D5E".

    CDDL::

        KeyLoaded = {
          0: 29,
          1: message-number,
          2: check-value,
        }

        check-value = (tstr .size (8..32)) .and (tstr .regexp "KCV[(](CMAC|ENC)[)]=[0-9A-F]+")

    """

    number: Annotated[int, Key(1)]
    check_value: Annotated[CheckValue, Key(2)]


@message(30)
class Declined:
    """Module to central: I did not do what this message of yours asks for.

    Attributes:
        number: of the message.
        code: why; "unavailable": not now, try again later.

    CDDL::

        Declined = {
          0: 30,
          1: message-number,
          2: fault,
        }

    """

    number: Annotated[int, Key(1)]
    code: Annotated[Fault, Key(2)]


@message(32)
class Revocations:
    """Central to module: the manufacturer's certificate revocation list (S5).

    Attributes:
        number: given by the central system for this module; Received repeats it.
        crl: X.509 CRL, DER, at most 32,768 bytes.

    CDDL::

        Revocations = {
          0: 32,
          1: message-number,
          2: bstr .size (1..32768),  ; CRL
        }

    """

    number: Annotated[int, Key(1)]
    crl: Annotated[bytes, Key(2), Size(1, CRL_MAX)]


@message(33)
class Beat:
    """Module to central: I am still here.

    Attributes:
        generation: how often the module has written its durable state.

    CDDL::

        Beat = {
          0: 33,
          1: count, ; generation
        }

    """

    generation: Annotated[int, Key(1)]


@message(34)
class TimeTold:
    """Central to module, in answer to Beat: so am I, and it is this late.

    Attributes:
        time: unix seconds.

    CDDL::

        TimeTold = {
          0: 34,
          1: unix-time,
        }

    """

    time: Annotated[int, Key(1)]
