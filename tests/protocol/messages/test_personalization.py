from __future__ import annotations

from typing import Any

import pytest

from insitu.protocol.messages import (
    Certificates,
    DecodeError,
    FieldError,
    GenerateKeyPair,
    KeyPolicy,
    ModuleCondition,
    ModuleKey,
    Personalized,
    Status,
    decode_message,
    encode,
    encode_message,
)

JOB, SALT = bytes(range(16)), bytes(range(32))
POINT, SIGNATURE = b"\x02" + bytes(32), bytes(range(64))

EXACT = [
    (
        GenerateKeyPair(job=JOB, salt=SALT, policy=KeyPolicy.MANUFACTURE_ADMITTED, time=1_700_000_000),
        f"a500010150{JOB.hex()}025820{SALT.hex()}0301041a6553f100",
    ),
    (
        ModuleKey(public_key=POINT, proof=SIGNATURE),
        f"a30002015821{POINT.hex()}025840{SIGNATURE.hex()}",
    ),
    (
        Certificates(module=b"\x30\x01", central=b"\x30\x02"),
        "a300030142300102423002",
    ),
    (
        Certificates(module=b"\x30\x01", central=b"\x30\x02", customer=b"\x30"),
        "a400030142300102423002034130",
    ),
    (Personalized(signature=SIGNATURE), f"a20004015840{SIGNATURE.hex()}"),
    (Status(condition=ModuleCondition.DELIVERED, epoch=0), "a3000501000200"),
    (
        Status(condition=ModuleCondition.RESET, epoch=300, fingerprint=SALT),
        f"a4000501020219012c035820{SALT.hex()}",
    ),
]


@pytest.mark.parametrize(("message", "data"), EXACT)
def test_bytes_are_exactly_these(message: Any, data: str) -> None:
    assert encode_message(message).hex() == data
    assert decode_message(bytes.fromhex(data)) == message


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: GenerateKeyPair(JOB[1:], SALT, KeyPolicy.NEW, 0), "GenerateKeyPair.job"),
        (lambda: GenerateKeyPair(JOB, SALT + b"\x00", KeyPolicy.NEW, 0), "GenerateKeyPair.salt"),
        (lambda: GenerateKeyPair(JOB, SALT, 0, 0), "GenerateKeyPair.policy"),  # type: ignore[arg-type]
        (lambda: GenerateKeyPair(JOB, SALT, KeyPolicy.NEW, -1), "GenerateKeyPair.time"),
        (lambda: ModuleKey(POINT + b"\x00", SIGNATURE), "ModuleKey.public_key"),
        (lambda: ModuleKey(POINT, SIGNATURE[1:]), "ModuleKey.proof"),
        (lambda: Certificates(b"", b"\x30"), "Certificates.module"),
        (lambda: Certificates(b"\x30", bytes(4097)), "Certificates.central"),
        (lambda: Certificates(b"\x30", b"\x30", b""), "Certificates.customer"),
        (lambda: Personalized(b""), "Personalized.signature"),
        (lambda: Status(ModuleCondition.RESET, 2**64), "Status.epoch"),
        (lambda: Status(ModuleCondition.RESET, 0, b""), "Status.fingerprint"),
    ],
)
def test_every_field_has_its_limits(make: Any, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        make()
    assert caught.value.field == field


def test_certificates_of_full_length_fit() -> None:
    message = Certificates(bytes(4096), bytes(4096), bytes(4096))
    assert decode_message(encode_message(message)) == message


@pytest.mark.parametrize("number", [-1, 2, "0", None, False])
def test_refuses_unknown_policies_and_conditions(number: object) -> None:
    with pytest.raises(DecodeError, match=r"GenerateKeyPair\.policy"):
        decode_message(encode({0: 1, 1: JOB, 2: SALT, 3: number, 4: 0}))
    with pytest.raises(DecodeError, match=r"Status\.condition"):
        decode_message(encode({0: 5, 1: 3 if number == 2 else number, 2: 0}))
