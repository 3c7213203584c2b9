"""The messages with which a card enrols at a central system (L14) and brings it its log (L12). Declarations only."""

from __future__ import annotations

from typing import Annotated, Final

from .fields import Key, Size, Within
from .personalization import Certificate, Signature
from .records import MOST_LOG_ENTRIES, SIGNED_LOG_MAX
from .wire import message

LOG_ENTRY_MAX: Final = 49_152
"""The longest entry of a card's log, in bytes."""
LOG_PART_MAX: Final = 128
"""Entries of one LogPart."""


@message(40)
class Enroll:
    """Card to central: these are the signing key and the central system that I mean.

    Attributes:
        proof: signature by the authentication key, which crossed with the signing key's certificate in the handshake.

    CDDL::

        Enroll = {
          0: 40,
          1: signature,
        }

    """

    proof: Annotated[Signature, Key(1)]


@message(41)
class Enrolled:
    """Central to card: your signing key is entered here; please have mine certified, when two people approve it.

    Attributes:
        request: PKCS#10 request for the central system's own certificate; DER.

    CDDL::

        Enrolled = {
          0: 41,
          1: certificate,  ; a PKCS#10 request, which is no longer than a certificate may be
        }

    """

    request: Annotated[Certificate, Key(1)]


@message(42)
class LogOffered:
    """Card to central: so far goes my log.

    Attributes:
        entries: how many there are.
        head: the head of all of them, COSE_Sign1 by the authentication key.

    CDDL::

        LogOffered = {
          0: 42,
          1: 0..262144,            ; entries
          2: bstr .size (1..512),  ; head
        }

    """

    entries: Annotated[int, Key(1), Within(0, MOST_LOG_ENTRIES)]
    head: Annotated[bytes, Key(2), Size(1, SIGNED_LOG_MAX)]


@message(43)
class LogWanted:
    """Central to card: give me further entries.

    Attributes:
        after: without the first so many.

    CDDL::

        LogWanted = {
          0: 43,
          1: 0..262144,            ; after
        }

    """

    after: Annotated[int, Key(1), Within(0, MOST_LOG_ENTRIES)]


@message(44)
class LogPart:
    """Card to central: these come next, as many as fit; none where there are no more.

    Attributes:
        lines: entries as the log is exported, one each, without ends of lines.

    CDDL::

        LogPart = {
          0: 44,
          1: [*128 bstr .size (1..49152)],
        }

    """

    lines: Annotated[tuple[Annotated[bytes, Size(1, LOG_ENTRY_MAX)], ...], Key(1), Size(0, LOG_PART_MAX)]


@message(45)
class LogRead:
    """Central to card: your log is here for good.

    Attributes:
        receipt: COSE_Sign1 by the central system's key.

    CDDL::

        LogRead = {
          0: 45,
          1: bstr .size (1..512),  ; receipt
        }

    """

    receipt: Annotated[bytes, Key(1), Size(1, SIGNED_LOG_MAX)]
