"""S9 for what older methods need: PINs, clear PIN blocks, symmetric keys and the keys that wrap them show nowhere."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eavesdropper import Eavesdropper, eavesdropping
from pump import Line, contact, personalize
from world import CARD_NUMBER, DAY, NOW, World

from insitu.protocol.engine import (
    Cmac,
    EncipherPin,
    InsituError,
    PinFormat,
    RetailMac,
    SecretAlgorithm,
    SecretOperation,
    SecretUsage,
)
from insitu.protocol.keys import keyblock, methods
from insitu.protocol.messages import LoadKey, encode_message
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.work_data import KeyTaken, SecretAnswered, SecretWanted
from insitu.protocol.stores.registry import CommandState

PIN = "739146820517"
MAC_USAGE, PIN_USAGE = SecretUsage.MAC, SecretUsage.PIN
AES, TDES = SecretAlgorithm.AES, SecretAlgorithm.TDES
USES: list[tuple[SecretUsage, SecretAlgorithm, SecretOperation]] = [
    (PIN_USAGE, AES, EncipherPin(PIN, CARD_NUMBER)),
    (PIN_USAGE, TDES, EncipherPin(PIN, CARD_NUMBER, PinFormat.ISO_0)),
    (PIN_USAGE, TDES, EncipherPin(PIN, CARD_NUMBER, PinFormat.ISO_3)),
    (MAC_USAGE, AES, Cmac(PIN.encode())),
    (MAC_USAGE, TDES, RetailMac(PIN.encode())),
]


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    world.module = world.blank_module(legacy=True)
    return world


@pytest.fixture
def eavesdropper(world: World, caplog: pytest.LogCaptureFixture, monkeypatch) -> Iterator[Eavesdropper]:
    """Knows the PIN and every clear PIN block, the key of every block and what is derived from it; reads the log."""
    caplog.set_level(logging.NOTSET)

    def learning(name: str, real: Callable[..., Any], parts: Callable[[Any], tuple[bytes, ...]]) -> Callable[..., Any]:
        def learn(*given: Any) -> Any:
            made = real(*given)
            for secret in parts(made):
                listening.secrets[f"{name} {len(listening.secrets)}"] = secret
            return made

        return learn

    with eavesdropping(world) as listening:
        listening.secrets["customer's PIN"] = PIN.encode()
        listening.secrets["PIN field"] = bytes.fromhex(f"4C{PIN}AA")
        monkeypatch.setattr(keyblock, "_derived", learning("block key", keyblock._derived, lambda made: made))
        clear = learning("clear PIN block", methods._format_0_or_3, lambda made: (made,))
        monkeypatch.setattr(methods, "_format_0_or_3", clear)
        yield listening
        listening.hear(caplog.text)
        assert listening.found() == []


def watched(world: World, listening: Eavesdropper) -> Line:
    """A contact that the eavesdropper follows, also what the host keeps for it."""
    line = contact(world)
    listening.follow(world, line)
    line.start()
    for side in line.sides:
        opened = side.session._handshake.opened
        assert opened is not None
        listening.secrets[f"wrapping key {len(listening.secrets)}"] = opened.wrapping
        listening.secrets[f"exporter value {len(listening.secrets)}"] = opened.binding
    return line


def overheard(world: World, line: Line, listening: Eavesdropper) -> None:
    """All that is left when it is over."""
    listening.learn(world)
    line.finish()
    listening.after(world, line)
    registry = world.central.registry
    for kept in (*registry.commands("SN-1"), *registry.transactions("SN-1"), *registry.audit(), *registry.modules()):
        listening.hear(kept)
    for command in registry.commands("SN-1"):
        listening.hear(command.content)
    for told in (world.module, world.module.at_work, world.central, world.module.record, world.module.keys):
        listening.hear(told)


@pytest.mark.parametrize(("usage", "algorithm", "operation"), USES)
def test_s9_a_key_and_its_use(world: World, eavesdropper: Eavesdropper, usage, algorithm, operation):
    line = watched(world, eavesdropper)
    world.load_key(usage, algorithm)
    line.peer.order(AttentionCalled())
    assert any(isinstance(note, KeyTaken) for note in world.shown)
    eavesdropper.learn(world)
    line.module.order(SecretWanted(1, usage, operation, NOW, 0))
    (answer,) = (note for note in world.shown if isinstance(note, SecretAnswered))
    assert answer.result is not None
    overheard(world, line, eavesdropper)
    assert {"SN-1/secret-1", "central Host/storage"} <= set(eavesdropper.secrets)
    assert len([name for name in eavesdropper.secrets if name.startswith("block key")]) >= 6


def test_s9_what_is_refused(world: World, eavesdropper: Eavesdropper):
    """Blocks that do not hold, PINs that are none, keys for something else, keys that are over."""
    line = watched(world, eavesdropper)
    storage = world.central.keys.storage
    wrong, _ = storage.new_secret_block(MAC_USAGE, AES, 128)
    message = encode_message(LoadKey(1, wrong, NOW + DAY, 3))
    eavesdropper.hear(LoadKey(1, wrong, NOW + DAY, 3))
    assert wrong.encode() in message, "on the wire it is there, under the channel's key"
    world.load_key(PIN_USAGE)
    line.peer.order(AttentionCalled())
    eavesdropper.learn(world)
    for number, operation in enumerate(
        (EncipherPin(PIN + "5", CARD_NUMBER), EncipherPin(PIN, CARD_NUMBER + "x"), Cmac(PIN.encode())), 1
    ):
        eavesdropper.hear(operation)
        wish = SecretWanted(number, PIN_USAGE, operation, NOW, 0)
        eavesdropper.hear(wish)
        line.module.order(wish)
        eavesdropper.hear(line.module.session)
    answers = [note for note in world.shown if isinstance(note, SecretAnswered)]
    assert [answer.result for answer in answers] == [None] * 3
    with pytest.raises(InsituError) as caught:
        line.module.order(SecretWanted(9, MAC_USAGE, Cmac(PIN.encode()), NOW, 0))
    eavesdropper.hear(caught.value)
    eavesdropper.hear("".join(traceback.format_exception(caught.value)))
    overheard(world, line, eavesdropper)
    assert [command.state for command in world.central.registry.commands("SN-1")] == [CommandState.DONE]
