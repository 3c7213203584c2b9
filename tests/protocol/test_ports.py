from __future__ import annotations

import pytest
from world import memory

from insitu.protocol.engine import (
    Agree,
    Agreed,
    Close,
    Cmac,
    EncipherPin,
    EnvironmentFault,
    GenerateKey,
    KeyHandle,
    KeyKind,
    KeyOperationFailed,
    KeyPairMade,
    KeyRewrapped,
    KeyUnwrapped,
    LookUp,
    Persist,
    PublicKey,
    RetailMac,
    RewrapKey,
    SecretAlgorithm,
    SecretHandle,
    SecretUsage,
    SecretUsed,
    Send,
    Show,
    Sign,
    Signed,
    Started,
    StartTimer,
    UnwrapKey,
    UsageError,
    UseSecret,
)
from insitu.protocol.keys.public import signature_holds
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.ports import Ports, operate, perform


@pytest.fixture
def vault() -> MemoryVault:
    return memory("ports")


def test_key_operations_come_back_as_events(vault):
    made = perform(GenerateKey("pair", KeyKind.P256, b"salt"), Ports(vault))
    assert isinstance(made, KeyPairMade)
    assert vault.find("pair") == made.key
    signed = perform(Sign(made.key, b"message"), Ports(vault))
    assert isinstance(signed, Signed)
    assert signature_holds(made.key.public, b"message", signed.signature)
    other = vault.generate("other", KeyKind.P256, b"")
    mine, theirs = (perform(Agree(a, b.public), Ports(vault)) for a, b in ((made.key, other), (other, made.key)))
    assert isinstance(mine, Agreed)
    assert mine == theirs
    assert mine.secret.hex() not in repr(mine)


def test_a_key_operation_that_fails_is_an_event_too(vault):
    stranger = KeyHandle("nobody", PublicKey(KeyKind.P256, b"\x04" + bytes(64)))
    vault.generate("pair", KeyKind.P256, b"")
    for effect in (Sign(stranger, b""), Agree(stranger, stranger.public), GenerateKey("pair", KeyKind.P256, b"")):
        failed = perform(effect, Ports(vault))
        assert isinstance(failed, KeyOperationFailed)
        assert failed.reason
    with pytest.raises(EnvironmentFault):
        operate(Sign(stranger, b""), vault)


def test_operations_with_symmetric_keys_come_back_as_events(vault):
    vault.storage.make_storage_key()
    stored, value = vault.storage.new_secret_block(SecretUsage.MAC, SecretAlgorithm.AES, 128)
    sent = perform(RewrapKey(stored, bytes(range(32))), Ports(vault))
    assert isinstance(sent, KeyRewrapped)
    taken = perform(UnwrapKey("secret-1", bytes(range(32)), sent.block), Ports(vault))
    assert isinstance(taken, KeyUnwrapped)
    assert taken.key.check_value == value
    used = perform(UseSecret(taken.key, Cmac(b"data")), Ports(vault))
    assert isinstance(used, SecretUsed)
    assert len(used.result) == 16


def test_an_operation_with_a_symmetric_key_that_fails_says_nothing_secret(vault):
    wrapping, pin, pan = bytes(range(32)), "71093", "4711081547110815"
    key = SecretHandle("secret-1", SecretUsage.MAC, SecretAlgorithm.AES, 128, "KCV(CMAC)=0000000000")
    vault.storage.make_storage_key()
    block, _ = vault.storage.new_secret_block(SecretUsage.MAC, SecretAlgorithm.AES, 128)
    made = operate(UnwrapKey("secret-2", wrapping, operate(RewrapKey(block, wrapping), vault).block), vault).key
    for effect in (
        UnwrapKey("secret-1", wrapping, block),
        UnwrapKey("secret-2", wrapping, block),
        UnwrapKey("secret-1", wrapping[:16], block),
        UnwrapKey("secret-1", wrapping, block[:-1]),
        RewrapKey(block[:-2] + "00", wrapping),
        RewrapKey(block, wrapping[:31]),
        UseSecret(key, Cmac(b"data")),
        UseSecret(made, EncipherPin(pin, pan)),
        UseSecret(made, EncipherPin("12", pan)),
        UseSecret(made, RetailMac(pan.encode())),
    ):
        failed = perform(effect, Ports(vault))
        assert isinstance(failed, KeyOperationFailed)
        assert failed.reason
        for secret in (wrapping[:16].hex(), block[16:40], pin, pan, pan.encode().hex()):
            assert secret.lower() not in failed.reason.lower()


def test_storage_look_ups_and_notes_go_to_their_ports(vault):
    kept: list[object] = []
    shown: list[object] = []
    answer = Started()
    ports = Ports(
        vault, commit=lambda record, keep: kept.append((record, keep)), look_up=lambda _: answer, show=shown.append
    )
    assert perform(Persist("record", frozenset({"a"})), ports) is None
    assert perform(Persist("record"), ports) is None
    assert kept == [("record", frozenset({"a"})), ("record", None)]
    assert perform(LookUp("registry"), ports) is answer
    assert perform(Show("note"), ports) is None
    assert shown == ["note"]


def test_what_storage_or_a_look_up_raises_goes_up(vault):
    def fail(*_: object) -> None:
        raise EnvironmentFault("gone")

    ports = Ports(vault, commit=fail, look_up=fail)
    for effect in (Persist("record"), LookUp("registry")):
        with pytest.raises(EnvironmentFault, match="gone"):
            perform(effect, ports)


def test_without_a_port_nothing_is_stored_or_looked_up_and_notes_go_nowhere(vault):
    with pytest.raises(UsageError, match="nothing can be stored here"):
        perform(Persist("record"), Ports(vault))
    with pytest.raises(UsageError, match="nothing can be looked up here"):
        perform(LookUp("registry"), Ports(vault))
    assert perform(Show("note"), Ports(vault)) is None


@pytest.mark.parametrize("effect", [Send("x"), Close(), StartTimer("t", 1)], ids=lambda each: type(each).__name__)
def test_links_and_clocks_are_not_ports(vault, effect):
    with pytest.raises(UsageError, match="no port performs this"):
        perform(effect, Ports(vault))
