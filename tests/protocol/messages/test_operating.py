from __future__ import annotations

import pickle
from typing import Any

import pytest

from insitu.protocol.engine import UsageError
from insitu.protocol.messages import (
    Authorize,
    DecodeError,
    FieldError,
    PayOut,
    ResetChallenge,
    ResetCommand,
    ResetDone,
    ResetRequest,
    decode,
    decode_message,
    encode,
    encode_message,
)

CARD, ACCOUNT = "4111111111111234", "DE89370400440532013000"
AUTHORIZE = Authorize(number=7, card=CARD, account=ACCOUNT, amount=20_000, currency="EUR")

EXACT = [
    (
        AUTHORIZE,
        f"a6001001070270{CARD.encode().hex()}0376{ACCOUNT.encode().hex()}04194e200563455552",
    ),
    (PayOut(number=7, approved=True, amount=20_000, reference="A1"), "a50011010702f503194e2004624131"),
    (PayOut(number=7, approved=False, amount=0, reference=""), "a50011010702f403000460"),
    (ResetRequest(epoch=1), "a200120101"),
    (ResetChallenge(epoch=1, challenge=bytes(32)), f"a300130101025820{bytes(32).hex()}"),
    (ResetCommand(signature=bytes(64)), f"a20014015840{bytes(64).hex()}"),
    (ResetDone(epoch=24), "a20015011818"),
]


@pytest.mark.parametrize(("message", "data"), EXACT)
def test_bytes_are_exactly_these(message: Any, data: str) -> None:
    assert encode_message(message).hex() == data
    assert decode_message(bytes.fromhex(data)) == message


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Authorize(-1, CARD, ACCOUNT, 1, "EUR"), "Authorize.number"),
        (lambda: Authorize(1, CARD[:11], ACCOUNT, 1, "EUR"), "Authorize.card"),
        (lambda: Authorize(1, CARD + "1234", ACCOUNT, 1, "EUR"), "Authorize.card"),
        (lambda: Authorize(1, "4111 1111 1111", ACCOUNT, 1, "EUR"), "Authorize.card"),
        (lambda: Authorize(1, "\u0661" * 16, ACCOUNT, 1, "EUR"), "Authorize.card"),  # digits, but not ours
        (lambda: Authorize(1, CARD, "", 1, "EUR"), "Authorize.account"),
        (lambda: Authorize(1, CARD, "x" * 35, 1, "EUR"), "Authorize.account"),
        (lambda: Authorize(1, CARD, "\u00fc" * 18, 1, "EUR"), "Authorize.account"),
        (lambda: Authorize(1, CARD, ACCOUNT, 2**64, "EUR"), "Authorize.amount"),
        (lambda: Authorize(1, CARD, ACCOUNT, 1, "eur"), "Authorize.currency"),
        (lambda: Authorize(1, CARD, ACCOUNT, 1, "EURO"), "Authorize.currency"),
        (lambda: PayOut(1, 1, 1, ""), "PayOut.approved"),  # type: ignore[arg-type]
        (lambda: PayOut(1, True, -1, ""), "PayOut.amount"),
        (lambda: PayOut(1, True, 1, "x" * 65), "PayOut.reference"),
        (lambda: ResetRequest(-1), "ResetRequest.epoch"),
        (lambda: ResetChallenge(0, bytes(31)), "ResetChallenge.challenge"),
        (lambda: ResetCommand(bytes(65)), "ResetCommand.signature"),
        (lambda: ResetDone(True), "ResetDone.epoch"),
    ],
)
def test_every_field_has_its_limits(make: Any, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        make()
    assert caught.value.field == field


def test_the_card_number_is_whole_on_the_wire_only() -> None:
    assert repr(AUTHORIZE) == (
        "Authorize(number=7, card='************1234', account='******************3000', amount=20000, currency='EUR')"
    )
    assert CARD not in f"{AUTHORIZE} {AUTHORIZE!r} {[AUTHORIZE]}"
    with pytest.raises(UsageError, match="never pickled"):
        pickle.dumps(AUTHORIZE)


@pytest.mark.parametrize("key", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("value", [CARD + "1234", int(CARD), CARD.encode(), (CARD,)])
def test_no_error_shows_a_card_number_wherever_it_came(key: int, value: Any) -> None:
    item = decode(encode_message(AUTHORIZE))
    assert isinstance(item, dict)
    try:
        decode_message(encode({**item, key: value}))
    except DecodeError as error:
        for text in (str(error), repr(error), str(vars(error))):
            assert CARD[:6] not in text
            assert CARD[-4:] not in text
            assert str(value) not in text
