"""`central load-key`: what the operator brings is checked before anything waits for a module, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import SERIAL, Estate, refused, unchanged, write_secret

from insitu.protocol.engine import SecretAlgorithm
from insitu.protocol.keys.methods import check_value

ONE, OTHER = bytes(range(1, 17)), bytes(range(51, 67))


def component(bank: Estate, name: str, key: bytes, value: str = "") -> Path:
    return write_secret(bank / name, f"{key.hex(' ', 2)} {value or check_value(SecretAlgorithm.AES, key)}")


def load(bank: Estate, *words: str | Path) -> list[str | Path]:
    life = ["--until", "2099-01-01T00:00:00Z", "--uses", "5"]
    return ["central", "load-key", *bank.unsealed("central"), "--module", SERIAL, "--usage", "mac", *life, *words]


@pytest.fixture
def one(bank: Estate) -> Path:
    return component(bank, "one", ONE)


def told(error: str) -> str:
    assert ONE.hex() not in error.replace(" ", "")
    assert OTHER.hex() not in error.replace(" ", "")
    return error


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        (OTHER, "KCV(CMAC)=0000000000", "check value of a key component"),
        (OTHER, "KCV(ENC)=000000", "expected hexadecimal digits, then KCV(CMAC)"),
        (OTHER[:8], "KCV(CMAC)=0000000000", "128 or 192 or 256 bits"),
        (ONE, "", "zeros"),
    ],
)
def test_a_component_that_does_not_hold(bank, one, key, value, says):
    other = component(bank, "other", key, value)
    with unchanged(bank, "central.store", "central.store.db"):
        told(refused(2, *load(bank, "--component", one, "--component", other), says=(says,)))


@pytest.mark.parametrize("count", [1, 4])
def test_so_many_components_are_no_key(bank, one, count):
    words = [word for _ in range(count) for word in ("--component", one)]
    told(refused(2, *load(bank, *words), says=("two or three",)))


def test_a_component_that_others_can_read(bank, one):
    other = component(bank, "other", OTHER)
    other.chmod(0o644)
    told(refused(2, *load(bank, "--component", one, "--component", other), says=("mode of file", "0600")))


def test_good_components_are_of_no_use_for_a_module_that_nobody_knows(bank, one):
    other = component(bank, "other", OTHER)
    told(refused(5, *load(bank, "--component", one, "--component", other), says=(SERIAL,)))
