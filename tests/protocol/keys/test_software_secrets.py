"""Symmetric keys in key memory: blocks in, results out, and nothing of the keys themselves."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from key_block_reference import KBPK, header, payload_of, unwrap, wrap

from insitu.conformance import SymmetricKeyConformance
from insitu.protocol.engine import (
    Cmac,
    EncipherPin,
    KeyKind,
    PinFormat,
    ProtocolError,
    RetailMac,
    SecretAlgorithm,
    SecretUsage,
    UsageError,
)
from insitu.protocol.keys.keyblock import KeyBlockRefused, write_block
from insitu.protocol.keys.methods import check_value, cmac
from insitu.protocol.keys.port import KeyExists, KeyMismatch, KeyMissing, KeyRefused, KeyStoreError
from insitu.protocol.keys.software import STORAGE, SoftwareKeyStore

MAC, PIN, WRAPPING = SecretUsage.MAC, SecretUsage.PIN, SecretUsage.WRAPPING
AES, TDES = SecretAlgorithm.AES, SecretAlgorithm.TDES
KEY = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
BLOCK = write_block(KBPK, MAC, AES, KEY, random.Random(1).randbytes)
OTHER = bytes(range(32))


def seeded(seed: int) -> SoftwareKeyStore:
    return SoftwareKeyStore(random.Random(seed).randbytes, repeatable=True)


@pytest.fixture
def store() -> SoftwareKeyStore:
    return seeded(1)


@pytest.fixture
def central() -> SoftwareKeyStore:
    store = seeded(2)
    store.make_storage_key()
    return store


class TestSymmetricKeys(SymmetricKeyConformance):
    @pytest.fixture
    def store(self, store):
        return store


# The module's side ---------------------------------------------------------------------------------------------


def test_a_key_is_taken_out_of_its_block_and_used(store):
    handle = store.unwrap("secret-1", KBPK, BLOCK)
    assert (handle.label, handle.usage, handle.algorithm, handle.bits) == ("secret-1", MAC, AES, 128)
    assert handle.check_value == check_value(AES, KEY)
    assert store.find_secret("secret-1") == handle
    assert store.find("secret-1") is None
    assert store.labels() == {"secret-1"}
    assert store.use(handle, Cmac(b"data")) == cmac(KEY, b"data")


def test_pairs_and_symmetric_keys_share_one_name_space(store):
    store.unwrap("one", KBPK, BLOCK)
    store.generate("two", KeyKind.P256, b"")
    with pytest.raises(KeyExists):
        store.generate("one", KeyKind.P256, b"")
    for taken in ("one", "two"):
        with pytest.raises(KeyExists):
            store.unwrap(taken, KBPK, BLOCK)
    assert store.labels() == {"one", "two"}
    assert store.find_secret("two") is None


@pytest.mark.parametrize("label", ["", "x" * 65])
def test_a_bad_label(store, label):
    with pytest.raises(KeyRefused, match="label"):
        store.unwrap(label, KBPK, BLOCK)


@pytest.mark.parametrize(
    ("wrapping", "block", "error"),
    [
        (KBPK, BLOCK[:-1], KeyBlockRefused),
        (OTHER, BLOCK, KeyBlockRefused),
        (KBPK[:16], BLOCK, UsageError),
        (KBPK, wrap(KBPK, header("M6", "A", "C", export="E"), payload_of(KEY)), KeyBlockRefused),
        (KBPK, wrap(KBPK, header("P0", "T", "E"), payload_of(KEY[:8] * 2)), KeyRefused),
    ],
)
def test_what_is_refused_leaves_nothing(store, wrapping, block, error):
    with pytest.raises(error):
        store.unwrap("secret-1", wrapping, block)
    assert store.labels() == frozenset()
    assert store.find_secret("secret-1") is None


def test_a_mac_key_makes_no_pin_block_and_a_pin_key_no_mac(store):
    chance = random.Random(3).randbytes
    mac = store.unwrap("mac", KBPK, BLOCK)
    pin = store.unwrap("pin", KBPK, write_block(KBPK, PIN, AES, KEY, chance))
    mac_3 = store.unwrap("mac-3", KBPK, write_block(KBPK, MAC, TDES, KEY, chance))
    pin_3 = store.unwrap("pin-3", KBPK, write_block(KBPK, PIN, TDES, KEY, chance))
    encipher = EncipherPin("1234", "4111111111111111")
    allowed = [
        (mac, Cmac(b"")),
        (pin, encipher),
        (mac_3, RetailMac(b"")),
        (pin_3, replace(encipher, format=PinFormat.ISO_0)),
    ]
    for handle, _ in allowed:
        for other, operation in allowed:
            if handle is other:
                assert store.use(handle, operation)
            else:
                with pytest.raises(KeyRefused, match="use of this key"):
                    store.use(handle, operation)


def test_a_handle_that_claims_another_usage_does_not_change_it(store):
    mac = store.unwrap("mac", KBPK, BLOCK)
    for forged in (replace(mac, usage=PIN), replace(mac, check_value="KCV(CMAC)=0000000000"), replace(mac, bits=256)):
        with pytest.raises(KeyMismatch):
            store.use(forged, EncipherPin("1234", "4111111111111111"))


def test_a_destroyed_key_is_gone(store):
    handle = store.unwrap("secret-1", KBPK, BLOCK)
    store.destroy("secret-1")
    assert store.labels() == frozenset()
    with pytest.raises(KeyMissing):
        store.use(handle, Cmac(b""))
    with pytest.raises(KeyMissing):
        store.destroy("secret-1")
    store.unwrap("secret-1", KBPK, BLOCK)


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
def test_nothing_of_a_key_shows_or_is_copied(store, duplicate):
    store.unwrap("secret-1", KBPK, BLOCK)
    store.make_storage_key()
    storage = store.secret_bytes_for_sealing(STORAGE)
    shown = f"{store!r} {store!s} {vars(store)} {store.find_secret('secret-1')!r}".upper()
    for key in (KEY, storage):
        assert key.hex().upper() not in shown
        assert repr(key)[2:-1].upper() not in shown
    with pytest.raises(UsageError, match="not pickled or copied"):
        duplicate(store)
    with pytest.raises(UsageError, match="not pickled or copied"):
        duplicate(store._secrets["secret-1"][1])


@pytest.mark.parametrize(("usage", "algorithm", "size"), [(MAC, AES, 32), (PIN, TDES, 24), (WRAPPING, AES, 32)])
def test_sealing_and_restoring(store, usage, algorithm, size):
    key = bytes(range(1, size + 1))
    store.restore_sealed_secret("label", usage, algorithm, key)
    handle = store.find_secret("label")
    assert (handle.usage, handle.algorithm, handle.bits) == (usage, algorithm, 8 * size)
    assert store.secret_bytes_for_sealing("label") == key
    with pytest.raises(KeyExists):
        store.restore_sealed_secret("label", usage, algorithm, key)
    with pytest.raises(KeyMissing):
        store.secret_bytes_for_sealing("other")
    with pytest.raises(KeyMissing):
        store.private_bytes_for_sealing("label")


@pytest.mark.parametrize(
    ("usage", "algorithm", "key"),
    [
        (MAC, AES, KEY[:15]),
        (MAC, AES, bytes(16)),
        (PIN, TDES, KEY[:8] * 2),
        (MAC, TDES, bytes(range(24))),
        (WRAPPING, AES, KEY),
        (WRAPPING, TDES, KEY),
        (MAC, AES, b""),
    ],
)
def test_what_is_no_key_is_not_restored(store, usage, algorithm, key):
    with pytest.raises(KeyStoreError, match="sealed key 'label'"):
        store.restore_sealed_secret("label", usage, algorithm, key)
    assert store.labels() == frozenset()


# The central system's side -------------------------------------------------------------------------------------


def test_the_storage_key_is_made_once(store):
    handle = store.make_storage_key()
    assert (handle.label, handle.usage, handle.algorithm, handle.bits) == (STORAGE, WRAPPING, AES, 256)
    assert store.make_storage_key() == handle
    assert seeded(7).make_storage_key().check_value != handle.check_value


def test_the_storage_key_does_nothing_but_wrap(central):
    storage = central.find_secret(STORAGE)
    for operation in (Cmac(b""), RetailMac(b""), EncipherPin("1234", "4111111111111111")):
        with pytest.raises(KeyRefused):
            central.use(storage, operation)


CALLS: list[Callable[[SoftwareKeyStore], object]] = [
    lambda store: store.rewrap(BLOCK, KBPK),
    lambda store: store.new_secret_block(MAC, AES, 128),
    lambda store: store.take_secret_block(BLOCK, KBPK),
    lambda store: store.join_secret_block(MAC, AES, [KEY, KEY[::-1]]),
]


@pytest.mark.parametrize("call", CALLS)
def test_without_a_storage_key_nothing_is_wrapped(store, call):
    with pytest.raises(KeyMissing):
        call(store)
    store.unwrap(STORAGE, KBPK, write_block(KBPK, MAC, AES, OTHER, random.randbytes))
    with pytest.raises(KeyMissing):
        call(store)
    with pytest.raises(KeyExists):
        store.make_storage_key()


KINDS = [(MAC, AES, 128), (MAC, AES, 192), (MAC, AES, 256), (MAC, TDES, 128), (PIN, AES, 256), (PIN, TDES, 192)]


@pytest.mark.parametrize(("usage", "algorithm", "bits"), KINDS)
def test_a_new_key_on_its_way_from_the_central_system_to_a_module(store, central, usage, algorithm, bits):
    stored, value = central.new_secret_block(usage, algorithm, bits)
    assert central.labels() == {STORAGE}
    sent = central.rewrap(stored, KBPK)
    assert sent != stored
    with pytest.raises(ProtocolError):
        store.unwrap("early", KBPK, stored)
    handle = store.unwrap("secret-1", KBPK, sent)
    assert (handle.usage, handle.algorithm, handle.bits, handle.check_value) == (usage, algorithm, bits, value)
    if algorithm is TDES:
        assert all(byte.bit_count() % 2 for byte in unwrap(KBPK, sent)[1])


def test_new_keys_differ(central):
    assert len({central.new_secret_block(MAC, AES, 128)[1] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("usage", "algorithm", "bits"),
    [
        *[(MAC, AES, bits) for bits in (0, 8, 129, 512, -128, 1 << 40)],
        (MAC, TDES, 192),
        (PIN, TDES, 64),
        (WRAPPING, AES, 256),
        (WRAPPING, TDES, 128),
    ],
)
def test_no_such_key(central, usage, algorithm, bits):
    with pytest.raises(KeyRefused):
        central.new_secret_block(usage, algorithm, bits)


def test_a_block_under_another_key_is_not_wrapped_again(central):
    with pytest.raises(KeyBlockRefused, match="MAC"):
        central.rewrap(BLOCK, KBPK)
    with pytest.raises(UsageError, match="wrapping key"):
        central.rewrap(central.new_secret_block(MAC, AES, 128)[0], KBPK[:16])


def test_a_key_that_comes_in_a_block(central):
    stored, value = central.take_secret_block(BLOCK, KBPK)
    assert value == check_value(AES, KEY)
    assert unwrap(KBPK, central.rewrap(stored, KBPK))[1] == KEY
    with pytest.raises(KeyBlockRefused):
        central.take_secret_block(BLOCK, OTHER)


@pytest.mark.parametrize("count", [2, 3])
def test_a_key_from_components(central, count):
    chance = random.Random(count)
    components = [chance.randbytes(16) for _ in range(count)]
    expected = bytes(16)
    for each in components:
        expected = bytes(a ^ b for a, b in zip(expected, each, strict=True))
    stored, value = central.join_secret_block(MAC, AES, components)
    assert value == check_value(AES, expected)
    assert unwrap(KBPK, central.rewrap(stored, KBPK))[1] == expected


def test_a_tdes_key_from_components_has_odd_parity_again(central):
    """Two parts with odd parity make a sum with even parity."""
    one, other = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210"), bytes.fromhex("5DB50B454F8389ADCE573BE50861F2BF")
    stored, value = central.join_secret_block(PIN, TDES, [one, other])
    key = unwrap(KBPK, central.rewrap(stored, KBPK))[1]
    assert all(byte.bit_count() % 2 for byte in key)
    assert all((a ^ b ^ c) & 0xFE == 0 for a, b, c in zip(one, other, key, strict=True))
    assert value == check_value(TDES, key)


@pytest.mark.parametrize(
    "components",
    [[], [KEY], [KEY] * 4, [KEY, KEY[:15]], [KEY, OTHER], [b"", b""], [KEY, KEY], [KEY[:7], KEY[1:8]]],
)
def test_components_that_make_no_key(central, components):
    with pytest.raises(KeyRefused) as caught:
        central.join_secret_block(MAC, AES, components)
    assert KEY.hex() not in str(caught.value)
    assert central.labels() == {STORAGE}


def test_equal_inputs_replay():
    def life(store: SoftwareKeyStore) -> tuple[object, ...]:
        store.make_storage_key()
        stored = store.new_secret_block(PIN, AES, 128)
        handle = store.unwrap("pin", KBPK, store.rewrap(stored[0], KBPK))
        return stored, handle, store.use(handle, EncipherPin("1234", "4111111111111111"))

    assert life(seeded(5)) == life(seeded(5))
    assert life(seeded(5)) != life(seeded(6))
