"""The messages between module and central while the module operates, and those of a commanded reset.

Declarations only; the CDDL in the docstrings is the source of specs/messages.cddl. Rules that they share:

CDDL::

    count = 0..9223372036854775807  ; what a database keeps in a signed integer of 64 bits
    message-number = count  ; ascending in its direction for the life of the module, from 1; never used twice
    minor-units = count     ; an amount in the smallest unit of its currency

What has a number is taken in once, however often it comes: the other side remembers the highest number, and answers
what it has taken in before as it did then.
"""

from __future__ import annotations

from typing import Annotated

from .fields import Key, Matches, Secret, Size
from .personalization import Signature
from .wire import message


@message(16)
class Authorize:
    """Module to central: ask whether this card may draw this amount (L10).

    The card number is whole on the wire only; a repr shows its last four digits (S9).

    Attributes:
        number: names the transaction, given by the module; the answer repeats it.
        card: the card number, 12 to 19 digits.
        account: the account to be charged, 1 to 34 characters of ASCII, the length of an IBAN.
        amount: in minor units of the currency.
        currency: three upper-case letters (ISO 4217).

    CDDL::

        Authorize = {
          0: 16,
          1: message-number,
          2: tstr .regexp "[0-9]{12,19}",  ; card
          3: tstr .regexp "[ -~]{1,34}",   ; account
          4: minor-units,
          5: tstr .regexp "[A-Z]{3}",      ; currency
        }

    """

    number: Annotated[int, Key(1)]
    card: Annotated[str, Key(2), Size(12, 19), Matches("[0-9]+"), Secret(tail=4)]
    account: Annotated[str, Key(3), Size(1, 34), Matches("[ -~]+"), Secret(tail=4)]
    amount: Annotated[int, Key(4)]
    currency: Annotated[str, Key(5), Size(3), Matches("[A-Z]+")]


@message(17)
class PayOut:
    """Central to module: the answer to Authorize, and the instruction to pay (L10).

    Attributes:
        number: of the Authorize that this answers.
        approved: whether to pay out at all.
        amount: what to pay, in minor units of the currency that was asked for.
        reference: the central's own name for the transaction, for the receipt; at most 64 bytes.

    CDDL::

        PayOut = {
          0: 17,
          1: message-number,
          2: bool,                ; approved
          3: minor-units,
          4: tstr .size (0..64),  ; reference
        }

    """

    number: Annotated[int, Key(1)]
    approved: Annotated[bool, Key(2)]
    amount: Annotated[int, Key(3)]
    reference: Annotated[str, Key(4), Size(0, 64)]


@message(18)
class ResetRequest:
    """Central to module: prepare to be reset (L8).

    Attributes:
        epoch: of the keys that are to go; a module at another epoch refuses.

    CDDL::

        ResetRequest = {
          0: 18,
          1: epoch,
        }

    """

    epoch: Annotated[int, Key(1)]


@message(19)
class ResetChallenge:
    """Module to central: sign this to have me reset (L8); fresh each time, so that no command is used twice (S10).

    Attributes:
        epoch: of the keys that are to go.
        challenge: random, 32 bytes.

    CDDL::

        ResetChallenge = {
          0: 19,
          1: epoch,
          2: bstr .size 32,  ; challenge
        }

    """

    epoch: Annotated[int, Key(1)]
    challenge: Annotated[bytes, Key(2), Size(32)]


@message(20)
class ResetCommand:
    """Central to module: reset (L8).

    Attributes:
        signature: by the central's key over the challenge, the epoch and the module's identity; 64 bytes.

    CDDL::

        ResetCommand = {
          0: 20,
          1: signature,
        }

    """

    signature: Annotated[Signature, Key(1)]


@message(21)
class ResetDone:
    """Module to central: the key pair is destroyed, and was before this was sent (S3).

    Attributes:
        epoch: the one that begins with this reset.

    CDDL::

        ResetDone = {
          0: 21,
          1: epoch,
        }

    """

    epoch: Annotated[int, Key(1)]
