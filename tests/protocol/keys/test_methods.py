"""Methods with symmetric keys: published examples, `psec` and the openssl command, and what is refused."""

from __future__ import annotations

import random
from typing import Any

import psec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pki import OpenSsl

from insitu.protocol.engine import (
    Cmac,
    EncipherPin,
    PinFormat,
    RetailMac,
    SecretAlgorithm,
    SecretHandle,
    SecretOperation,
    SecretUsage,
)
from insitu.protocol.keys.methods import check_value, cmac, perform, with_odd_parity
from insitu.protocol.keys.port import KeyRefused

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # psec's

MAC, PIN = SecretUsage.MAC, SecretUsage.PIN
AES, TDES = SecretAlgorithm.AES, SecretAlgorithm.TDES
ISO_0, ISO_3, ISO_4 = PinFormat.ISO_0, PinFormat.ISO_3, PinFormat.ISO_4

pins = st.text("0123456789", min_size=4, max_size=12)
pans = st.text("0123456789", min_size=13, max_size=19)  # psec takes none of 12
tdes_pairs = st.binary(min_size=16, max_size=16)


def do(
    usage: SecretUsage,
    algorithm: SecretAlgorithm,
    key: bytes,
    operation: SecretOperation,
    entropy: Any = random.randbytes,
) -> bytes:
    handle = SecretHandle("label", usage, algorithm, 8 * len(key), check_value(algorithm, key))
    return perform(handle, key, operation, entropy)


# CMAC and check values -----------------------------------------------------------------------------------------

MESSAGE = bytes.fromhex(
    "6BC1BEE22E409F96E93D7E117393172AAE2D8A571E03AC9C9EB76FAC45AF8E51"
    "30C81C46A35CE411E5FBC1191A0A52EFF69F2445DF4F9B17AD2B417BE66C3710"
)
SP_800_38B = {
    "2B7E151628AED2A6ABF7158809CF4F3C": {
        0: "BB1D6929E95937287FA37D129B756746",
        16: "070A16B46B4D4144F79BDD9DD04A287C",
        40: "DFA66747DE9AE63030CA32611497C827",
        64: "51F0BEBF7E3B9D92FC49741779363CFE",
    },
    "8E73B0F7DA0E6452C810F32B809079E562F8EAD2522C6B7B": {
        0: "D17DDF46ADAACDE531CAC483DE7A9367",
        16: "9E99A7BF31E710900662F65E617C5184",
        40: "8A1DE5BE2EB31AAD089A82E6EE908B0E",
        64: "A1D5DF0EED790F794D77589659F39A11",
    },
    "603DEB1015CA71BE2B73AEF0857D77811F352C073B6108D72D9810A30914DFF4": {
        0: "028962F61B7BF89EFC6B551F4667D983",
        16: "28A7023F452E8F82BD4BF28D8C37C35C",
        40: "AAF3D8F1DE5640C232F5B169B9C911E6",
        64: "E1992190549F6ED5696A2C056C315410",
    },
}


@pytest.mark.parametrize("key", SP_800_38B)
def test_cmac_as_in_nist_sp_800_38b(key):
    """Appendix D.1 to D.3."""
    for length, expected in SP_800_38B[key].items():
        assert do(MAC, AES, bytes.fromhex(key), Cmac(MESSAGE[:length])) == bytes.fromhex(expected)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_cmac_and_check_value_as_openssl_has_them(openssl: OpenSsl, size):
    chance = random.Random(size)
    for length in (0, 1, 16, 100):
        key, data = chance.randbytes(size), chance.randbytes(length)
        for content, found in ((data, cmac(key, data).hex()), (bytes(16), check_value(AES, key)[10:])):
            (openssl.directory / "data").write_bytes(content)
            options = ["-cipher", f"AES-{8 * size}-CBC", "-macopt", f"hexkey:{key.hex()}", "-in", "data"]
            answer = openssl.run("mac", *options, "CMAC")
            assert answer.stdout.strip().startswith(found.upper()), answer.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("5DB50B454F8389ADCE573BE50861F2BF", "5C9405"),
        ("F039121BEC83D26B169BDCD5B22AAF8F", "CB9DEA"),
        ("1FA1F7CEC798D91545DA8AE0C7796BD9", "FF5087"),
    ],
)
def test_check_values_of_tdes_keys(key, value):
    """Of a payShield 10k, and of the keys in TR-31:2018 annex A.7.2.1 (published with the library openemv/tr31)."""
    assert check_value(TDES, bytes.fromhex(key)) == f"KCV(ENC)={value}"


@given(st.binary(min_size=16, max_size=16) | st.binary(min_size=24, max_size=24))
def test_a_check_value_of_tdes_is_that_of_psec_whatever_the_parity(key):
    expected = f"KCV(ENC)={psec.des.generate_kcv(key, 3).hex().upper()}"
    assert check_value(TDES, key) == expected
    assert check_value(TDES, with_odd_parity(key)) == expected
    assert with_odd_parity(key) == psec.des.adjust_key_parity(key)


def test_a_check_value_names_its_method():
    assert check_value(AES, bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")).startswith("KCV(CMAC)=")
    assert len(check_value(AES, bytes(32))) == len("KCV(CMAC)=") + 10


# Retail MAC ----------------------------------------------------------------------------------------------------

ISO_9797 = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
ICAO = bytes.fromhex("7962D9ECE03D1ACD4C76089DCE131543")
ICAO_DATA = bytes.fromhex("72C29C2371CC9BDB65B779B8E8D37B29ECC154AA56A8799FAE2F498F76ED92F2")


@pytest.mark.parametrize(
    ("key", "data", "padding", "mac"),
    [
        (ISO_9797, b"Now is the time for all ", 1, "A1C72E74EA3FA9B6"),
        (ISO_9797, b"Now is the time for all ", 2, "E9086230CA3BE796"),
        (ISO_9797, b"Now is the time for it", 1, "2E2B1428CC78254F"),
        (ISO_9797, b"Now is the time for it", 2, "5A692CE64F404145"),
        (ICAO, ICAO_DATA, 2, "5F1448EEA8AD90A7"),
    ],
)
def test_retail_mac_as_published(key, data, padding, mac):
    """ISO/IEC 9797-1 annex (algorithm 3), and the worked example of ICAO Doc 9303 part 11 (basic access control)."""
    assert do(MAC, TDES, key, RetailMac(data, padding)) == bytes.fromhex(mac)


@given(tdes_pairs, st.binary(max_size=100), st.sampled_from([1, 2]))
def test_retail_mac_as_psec_has_it(key, data, padding):
    data = data or b"\x00"  # of nothing, psec makes no block with padding method 1
    expected = psec.mac.generate_retail_mac(key[:8], key[8:], data, padding)
    assert do(MAC, TDES, key, RetailMac(data, padding)) == expected


def test_retail_mac_as_openssl_has_it(openssl: OpenSsl):
    """Single DES is TDES with three equal parts."""

    def tdes(direction: str, key: bytes, data: bytes) -> bytes:
        (openssl.directory / "in").write_bytes(data)
        options = ["-des-ede3-cbc", direction, "-nopad", "-K", key.hex(), "-iv", "00" * 8, "-in", "in", "-out", "out"]
        done = openssl.run("enc", *options)
        assert done.returncode == 0, done.stderr
        return (openssl.directory / "out").read_bytes()

    chance = random.Random(5)
    for length in (8, 24, 80):
        left, right, data = chance.randbytes(8), chance.randbytes(8), chance.randbytes(length)
        last = tdes("-e", left * 3, data)[-8:]
        expected = tdes("-e", left * 3, tdes("-d", right * 3, last))
        assert do(MAC, TDES, left + right, RetailMac(data)) == expected


def test_padding_of_nothing_is_one_block():
    assert do(MAC, TDES, ISO_9797, RetailMac(b"")) == do(MAC, TDES, ISO_9797, RetailMac(bytes(8)))
    assert do(MAC, TDES, ISO_9797, RetailMac(b"", 2)) == do(MAC, TDES, ISO_9797, RetailMac(b"\x80" + bytes(7)))


@pytest.mark.parametrize("padding", [0, 3, -1])
def test_another_padding(padding):
    with pytest.raises(KeyRefused, match="padding"):
        do(MAC, TDES, ISO_9797, RetailMac(b"", padding))


# PIN blocks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "block"),
    [("AF8CB133A78F8DC2D1359F18527593FB", "A912150391AB65A67E52883D81CE2D15")],
)
def test_format_4_as_published(key, block):
    """ANSI X9.24-3:2017, test vectors, PIN block of format 4 with the random field given there."""
    found = do(PIN, AES, bytes.fromhex(key), EncipherPin("1234", "4111111111111111"), lambda _: RANDOM)
    assert found == bytes.fromhex(block)


RANDOM = bytes.fromhex("2F69ADDE2E9E7ACE")


def test_format_0_as_published():
    """The clear block of EFTlab's list of PIN blocks, for the account number without its check digit."""
    key = ISO_9797
    block = do(PIN, TDES, key, EncipherPin("1234", "43219876543210987", ISO_0))
    assert psec.des.decrypt_tdes_ecb(key, block).hex().upper() == "0412AC89ABCDEF67"


@given(st.sampled_from([16, 24, 32]), st.integers(0, 1 << 32), pins, pans)
def test_psec_reads_format_4(size, seed, pin, pan):
    key = random.Random(seed).randbytes(size)
    block = do(PIN, AES, key, EncipherPin(pin, pan), random.Random(seed).randbytes)
    assert psec.pinblock.decipher_pinblock_iso_4(key, block, pan) == pin


@given(tdes_pairs | st.binary(min_size=24, max_size=24), pins, pans)
def test_psec_reads_formats_0_and_3(key, pin, pan):
    zero = psec.des.decrypt_tdes_ecb(key, do(PIN, TDES, key, EncipherPin(pin, pan, ISO_0)))
    assert zero == psec.pinblock.encode_pinblock_iso_0(pin, pan)
    three = psec.des.decrypt_tdes_ecb(key, do(PIN, TDES, key, EncipherPin(pin, pan, ISO_3)))
    assert psec.pinblock.decode_pinblock_iso_3(three, pan) == pin


def test_account_numbers_of_12_digits():
    """Format 0 takes the 11 digits before the check digit, format 4 says that it has none beyond 12."""
    pin, pan = "123456", "987654321098"
    zero = psec.des.decrypt_tdes_ecb(ISO_9797, do(PIN, TDES, ISO_9797, EncipherPin(pin, pan, ISO_0)))
    expected = bytes(
        a ^ b for a, b in zip(bytes.fromhex("06123456FFFFFFFF"), bytes.fromhex("0000098765432109"), strict=True)
    )
    assert zero == expected
    four = do(PIN, AES, ISO_9797, EncipherPin(pin, pan))
    assert psec.pinblock.decipher_pinblock_iso_4(ISO_9797, four, pan) == pin


@pytest.mark.parametrize(("pin_format", "algorithm"), [(ISO_3, TDES), (ISO_4, AES)])
def test_random_fill_comes_from_key_memory_and_makes_equal_pins_differ(pin_format, algorithm):
    wanted = EncipherPin("1234", "4111111111111111", pin_format)

    def block(seed: int) -> bytes:
        return do(PIN, algorithm, ISO_9797, wanted, random.Random(seed).randbytes)

    assert block(1) == block(1)
    assert len({block(seed) for seed in range(100)}) == 100


def test_every_fill_digit_of_format_3_is_as_likely():
    """Whatever a random byte is: six digits, 42 byte values each; the values left over are not used."""
    fills = []
    for value in range(256):
        block = do(
            PIN, TDES, ISO_9797, EncipherPin("1234", "0000000000000000", ISO_3), lambda n, v=value: bytes([v] * n)
        )
        fills.append(psec.des.decrypt_tdes_ecb(ISO_9797, block).hex().upper()[-1])
    assert {digit: fills[:252].count(digit) for digit in "ABCDEF"} == dict.fromkeys("ABCDEF", 42)
    assert set(fills[252:]) == {"A"}


@pytest.mark.parametrize("pin", ["", "123", "1234567890123", "12a4", "12 4", "1²34", "１２３４", "1234\n", "-123"])
@pytest.mark.parametrize("pin_format", PinFormat)
def test_what_is_no_pin(pin, pin_format):
    algorithm = AES if pin_format is ISO_4 else TDES
    with pytest.raises(KeyRefused, match="PIN") as caught:
        do(PIN, algorithm, ISO_9797, EncipherPin(pin, "4111111111111111", pin_format))
    assert not pin or pin not in str(caught.value)


@pytest.mark.parametrize("pan", ["", "41111111111", "4" * 20, "4111 1111 1111 1111", "411111111111111x", "４" * 16])
@pytest.mark.parametrize("pin_format", PinFormat)
def test_what_is_no_card_number(pan, pin_format):
    algorithm = AES if pin_format is ISO_4 else TDES
    with pytest.raises(KeyRefused, match="card number") as caught:
        do(PIN, algorithm, ISO_9797, EncipherPin("1234", pan, pin_format))
    assert not pan or pan not in str(caught.value)


# Use is enforced -----------------------------------------------------------------------------------------------

OPERATIONS = [
    (Cmac(b""), MAC, AES),
    (RetailMac(b""), MAC, TDES),
    (EncipherPin("1234", "4111111111111111", ISO_0), PIN, TDES),
    (EncipherPin("1234", "4111111111111111", ISO_3), PIN, TDES),
    (EncipherPin("1234", "4111111111111111", ISO_4), PIN, AES),
]


@pytest.mark.parametrize(("operation", "right", "its"), OPERATIONS)
@pytest.mark.parametrize("usage", SecretUsage)
@pytest.mark.parametrize("algorithm", SecretAlgorithm)
def test_a_key_does_what_it_is_for_and_nothing_else(operation, right, its, usage, algorithm):
    if (usage, algorithm) == (right, its):
        assert len(do(usage, algorithm, ISO_9797, operation)) in (8, 16)
    else:
        with pytest.raises(KeyRefused, match="use of this key"):
            do(usage, algorithm, ISO_9797, operation)


@pytest.mark.parametrize("number", [1, 2, 5, -1])
@pytest.mark.parametrize("algorithm", SecretAlgorithm)
def test_other_pin_block_formats(number, algorithm):
    wanted: Any = EncipherPin("1234", "4111111111111111", number)  # type: ignore[arg-type]
    with pytest.raises(KeyRefused, match="method"):
        do(PIN, algorithm, ISO_9797, wanted)


def test_a_format_given_as_its_number():
    wanted = EncipherPin("1234", "4111111111111111", 4)  # type: ignore[arg-type]
    assert do(PIN, AES, ISO_9797, wanted, lambda _: RANDOM) == do(
        PIN, AES, ISO_9797, EncipherPin("1234", "4111111111111111"), lambda _: RANDOM
    )
    with pytest.raises(KeyRefused):
        do(PIN, TDES, ISO_9797, wanted)
