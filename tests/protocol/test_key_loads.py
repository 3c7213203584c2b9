"""Symmetric keys on their way to a module and at work there (L11, S8): blocks of any kind but the right one, their
replay, and counts to the last use.

Whoever says it sits in the channel of the pinned central system: only the blocks are wrong. The blocks themselves are
in keys/test_keyblock.py; here it is what a session makes of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import psec
import pytest
import trio
from intruder import Intruder, Trap
from key_block_reference import header, payload_of, wrap
from pump import NoStream, PowerCut, Side, contact, personalize
from world import CARD_NUMBER, DAY, NOW, SERIAL, World

from insitu.protocol.channel.trust import CentralAtWork
from insitu.protocol.engine import (
    Cmac,
    EncipherPin,
    Fault,
    InsituError,
    Persist,
    PinFormat,
    RetailMac,
    SecretAlgorithm,
    SecretOperation,
    SecretUsage,
    Show,
    UseSecret,
)
from insitu.protocol.keys.keyblock import write_block
from insitu.protocol.keys.port import KeyRefused
from insitu.protocol.messages import Declined, KeyLoaded, LoadKey, Welcome
from insitu.protocol.parties.central_data import AttentionCalled
from insitu.protocol.parties.work_data import KeyDeclined, SecretAnswered, SecretWanted
from insitu.protocol.parties.work_keys import SecretExpired, SecretMissing, SecretUnusable
from insitu.shell.module import Module

pytestmark = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")  # psec's

MAC, PIN = SecretUsage.MAC, SecretUsage.PIN
AES, TDES = SecretAlgorithm.AES, SecretAlgorithm.TDES
KEY = bytes(range(16))
ASSETS = {"identity", "operating-0"}


@pytest.fixture
def world() -> World:
    world = World()
    personalize(world)
    return world


@dataclass
class Host:
    """Somebody in the channel of the pinned central system.

    Attributes:
        trap: the line.
        wrapping: the key under which the module expects blocks, in this session.

    """

    trap: Trap
    wrapping: bytes

    def block(self, usage: SecretUsage = MAC, algorithm: SecretAlgorithm = AES, key: bytes = KEY) -> str:
        """A block that the module takes."""
        return write_block(self.wrapping, usage, algorithm, key, random.Random(1).randbytes)

    def loads(self, block: str, number: int = 1, *, uses: int = 3, not_after: int = NOW + DAY) -> object:
        """The module's answer."""
        self.trap.say(LoadKey(number, block, not_after, uses))
        return self.trap.intruder.got[-1]


def host(world: World, module: Module | None = None, seed: str = "intruder") -> Host:
    """The module is online there."""
    terms = CentralAtWork.of(world.central_certificate, world.central.issuers(), world.central._key())
    intruder = Intruder(terms, world.vault("central Host"), seed=seed)
    trap = Trap(Side("module", (module or world.module).work(NoStream())), intruder)  # type: ignore[arg-type]
    trap.say(Welcome(NOW, 0))
    opened = intruder._handshake.opened
    assert opened is not None
    return Host(trap, opened.wrapping)


def by_psec(
    version: str, usage: str, algorithm: str, mode: str, export: str = "N", **blocks: str
) -> Callable[[Host], str]:
    """A block that is right in itself, written by another implementation under the session's key."""

    def write(here: Host) -> str:
        head = psec.tr31.Header(version, usage, algorithm, mode, "00", export)
        for name, content in blocks.items():
            head.blocks[name] = content
        wrapping = here.wrapping if version == "D" else here.wrapping[:24]
        return psec.tr31.wrap(wrapping, head, KEY)

    return write


def with_payload(payload: bytes, head: str = header("M6", "A", "C")) -> Callable[[Host], str]:
    """An authentic block with this content."""
    return lambda here: wrap(here.wrapping, head, payload)


def changed(change: Callable[[str], str]) -> Callable[[Host], str]:
    """The right block, but for this."""
    return lambda here: change(here.block())


def of_length(block: str, length: int) -> str:
    return f"D{length:04}{block[5:]}"


UNTRUSTED: dict[str, Callable[[Host], str]] = {
    "version A": by_psec("A", "M3", "T", "C"),
    "version B": by_psec("B", "M3", "T", "C"),
    "version C": by_psec("C", "M3", "T", "C"),
    "version E": changed(lambda block: f"E{block[1:]}"),
    "a key that protects keys": by_psec("D", "K0", "A", "B"),
    "a base key": by_psec("D", "B0", "T", "X"),
    "a data key": by_psec("D", "D0", "A", "B"),
    "a MAC key of another method": by_psec("D", "M1", "T", "C"),
    "a PIN key for HMAC": by_psec("D", "P0", "H", "E"),
    "a key that only verifies": by_psec("D", "M6", "A", "V"),
    "a key that only decrypts": by_psec("D", "P0", "A", "D"),
    "a key without restriction": by_psec("D", "M6", "A", "N"),
    "a mode of the other usage": by_psec("D", "M6", "A", "E"),
    "exportable": by_psec("D", "M6", "A", "C", "E"),
    "exportable under trust": by_psec("D", "M6", "A", "C", "S"),
    "an optional block": by_psec("D", "M6", "A", "C", KS="00604B120F9292800000"),
    "two optional blocks": by_psec("D", "M6", "A", "C", KS="00604B120F9292800000", CT="000000"),
    "small letters in the header": changed(lambda block: block[:16].lower() + block[16:]),
    "small letters in the body": changed(lambda block: block[:16] + block[16:].lower()),
    "characters that are not ASCII": changed(lambda block: block[:20] + "０１ＡÄ" + block[24:]),
    "a NUL": changed(lambda block: block[:-1] + "\x00"),
    "no MAC": changed(lambda block: of_length(block[:-32], len(block) - 32)),
    "half a MAC": changed(lambda block: of_length(block[:-16], len(block) - 16)),
    "no body": changed(lambda block: of_length(block[:16] + block[-32:], 48)),
    "a header and nothing else": changed(lambda block: of_length(block[:16], 16)),
    "one character short": changed(lambda block: block[:-1]),
    "one character more": changed(lambda block: block + "0"),
    "a length that is shorter": changed(lambda block: of_length(block, len(block) - 32)),
    "a length that is longer": changed(lambda block: of_length(block, 1024)),
    "a length in other digits": changed(lambda block: f"D{len(block):03}A{block[5:]}"),
    "another usage in the header": changed(lambda block: block[:5] + "P0AE" + block[9:]),
    "another version of the key": changed(lambda block: block[:9] + "01" + block[11:]),
    "a length of no bits": with_payload(bytes(2) + KEY + bytes(14)),
    "a length of a bit less": with_payload((127).to_bytes(2, "big") + KEY + bytes(14)),
    "a length beyond the block": with_payload((8 * 31).to_bytes(2, "big") + KEY + bytes(14)),
    "the greatest length": with_payload(b"\xff\xff" + KEY + bytes(14)),
    "a key of no length": with_payload(payload_of(bytes(range(8)), bytes(6))),
    "a key of zeros": with_payload(payload_of(bytes(16))),
    "DES as TDES": with_payload(payload_of(bytes(range(8)) * 2), header("P0", "T", "E")),
    "under zeros": lambda _: write_block(bytes(32), MAC, AES, KEY, bytes),
    "turned around": lambda here: write_block(here.wrapping[::-1], MAC, AES, KEY, bytes),
}


@pytest.mark.parametrize("legacy", [False, True], ids=["", "older methods admitted"])
@pytest.mark.parametrize("what", UNTRUSTED)
def test_a_block_that_is_not_right_is_declined_and_nothing_is_stored(world: World, what: str, legacy: bool):
    """The session goes on, and takes the next one that is right."""
    module = world.blank_module(legacy=legacy)
    here = host(world, module)
    block = UNTRUSTED[what](here)
    assert here.loads(block) == Declined(1, Fault.UNTRUSTED)
    assert world.vault(SERIAL).labels() == ASSETS
    assert (module.record.keys, module.record.heard) == ((), 1)
    (note,) = (note for note in world.shown if isinstance(note, KeyDeclined))
    assert note.number == 1
    shown = repr(world.shown)
    assert not any(part in shown for part in (block[16:48], KEY.hex().upper(), here.wrapping.hex()) if part)
    assert here.loads(block) == Declined(1, Fault.UNSUPPORTED), "told again that it is not here, and not tried again"
    assert isinstance(here.loads(here.block(), 2), KeyLoaded)
    assert world.vault(SERIAL).labels() == {*ASSETS, "secret-2"}


@pytest.mark.parametrize(("usage", "name"), [(MAC, "M3"), (PIN, "P0")])
def test_tdes_only_by_explicit_policy(world: World, usage: SecretUsage, name: str):
    here = host(world)
    tdes = by_psec("D", name, "T", "C" if usage is MAC else "E")(here)
    assert here.loads(tdes) == Declined(1, Fault.UNSUPPORTED)
    assert world.vault(SERIAL).labels() == ASSETS
    here.trap.finish()
    module = world.blank_module(legacy=True)
    there = host(world, module, "another")
    assert isinstance(there.loads(by_psec("D", name, "T", "C" if usage is MAC else "E")(there), 2), KeyLoaded)


def test_a_block_of_another_session_is_declined(world: World):
    """Of an earlier session of this module, of another module's, under the key it rests under at the host."""
    other = world.new_module("SN-2")
    personalize(world, module=other)
    earlier = host(world, seed="earlier")
    replayed = earlier.block()
    assert isinstance(earlier.loads(replayed), KeyLoaded)
    earlier.trap.finish()
    stranger = host(world, other, "stranger").block()
    at_rest, _ = world.central.keys.storage.new_secret_block(MAC, AES, 128)
    here = host(world, seed="now")
    before = world.module.record.keys
    for number, block in enumerate((replayed, stranger, at_rest), 2):
        assert here.loads(block, number, uses=1000) == Declined(number, Fault.UNTRUSTED)
    assert world.module.record.keys == before
    assert world.vault(SERIAL).labels() == {*ASSETS, "secret-1"}


def test_a_message_that_comes_again_gives_no_use_back(world: World):
    """In the same session and in the next one; also with other terms, under the same number or an older one."""
    here = host(world)
    block = here.block()
    loaded = here.loads(block, 5, uses=2)
    use(here, Cmac(b"x"))
    assert here.loads(block, 5, uses=2) == loaded
    assert here.loads(block, 5, uses=99) == loaded
    assert here.loads(block, 4, uses=99) == Declined(4, Fault.UNSUPPORTED)
    assert [held.left for held in world.module.record.keys] == [1]
    here.trap.finish()
    there = host(world, seed="next")
    assert there.loads(there.block(), 5, uses=99) == loaded
    assert [(held.label, held.left) for held in world.module.record.keys] == [("secret-5", 1)]


def use(here: Host, operation: SecretOperation, usage: SecretUsage = MAC, at: int = NOW) -> None:
    victim = here.trap.victim
    victim.take(victim.session.submit(SecretWanted(1, usage, operation, at, 0), NOW))


# At work ----------------------------------------------------------------------------------------------------------


def loaded(world: World, usage: SecretUsage = MAC, *, uses: int = 3, seconds: int = DAY) -> Module:
    """A module with a key, no session open any more."""
    line = contact(world).start()
    world.load_key(usage, uses=uses, seconds=seconds)
    line.peer.order(AttentionCalled())
    line.finish()
    assert [held.left for held in world.module.record.keys] == [uses]
    return world.module


@pytest.mark.parametrize(
    ("usage", "operation"),
    [
        (MAC, EncipherPin("1234", CARD_NUMBER)),
        (PIN, Cmac(b"x")),
        (PIN, EncipherPin("123", CARD_NUMBER)),
        (PIN, EncipherPin("1234567890123", CARD_NUMBER)),
        (PIN, EncipherPin("12a4", CARD_NUMBER)),
        (PIN, EncipherPin("1234", CARD_NUMBER[:11])),
        (PIN, EncipherPin("1234", CARD_NUMBER + "1234")),
    ],
    ids=["MAC key for a PIN", "PIN key for a MAC", "3 digits", "13 digits", "letters", "11 of a card", "20 of a card"],
)
async def test_a_use_that_cannot_be_gives_nothing(world: World, usage: SecretUsage, operation: SecretOperation):
    module = loaded(world, usage)
    with pytest.raises(KeyRefused):
        await module.at_work.use(usage, operation)
    with pytest.raises(SecretMissing):
        await module.at_work.use(PIN if usage is MAC else MAC, operation)
    assert [held.left for held in module.record.keys] == [2], "it counts all the same: the key was asked"


@pytest.mark.parametrize("pin_format", [PinFormat.ISO_0, PinFormat.ISO_3])
async def test_older_methods_cost_no_use_where_policy_excludes_them(world: World, pin_format: PinFormat):
    module = loaded(world, PIN)
    with pytest.raises(SecretUnusable, match="older method"):
        await module.at_work.use(PIN, EncipherPin("1234", CARD_NUMBER, pin_format))
    assert [held.left for held in module.record.keys] == [3]


@pytest.mark.parametrize(
    ("usage", "operation"),
    [
        (MAC, RetailMac(b"x")),
        (PIN, EncipherPin("1234", CARD_NUMBER, PinFormat.ISO_0)),
        (PIN, EncipherPin("1234", CARD_NUMBER, PinFormat.ISO_3)),
    ],
    ids=["retail MAC", "format 0", "format 3"],
)
async def test_an_aes_key_serves_no_older_method_with_policy_either(
    world: World, usage: SecretUsage, operation: SecretOperation
):
    world.module = world.blank_module(legacy=True)
    module = loaded(world, usage)
    with pytest.raises(KeyRefused):
        await module.at_work.use(usage, operation)


@pytest.mark.parametrize("uses", [1, 5])
async def test_of_many_at_once_exactly_so_many_are_served(world: World, uses: int):
    """Each has its own result, and the key is erased with the last."""
    module = loaded(world, uses=uses)
    made: list[bytes] = []
    refused: list[InsituError] = []

    async def one(number: int) -> None:
        try:
            made.append(await module.at_work.use(MAC, Cmac(number.to_bytes(2, "big"))))
        except SecretUnusable as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(one, number)
    assert (len(made), len(set(made)), len(refused)) == (uses, uses, 20 - uses)
    assert {type(error) for error in refused} <= {SecretExpired, SecretMissing}
    assert module.record.keys == ()
    assert world.vault(SERIAL).labels() == ASSETS


async def test_the_last_second_counts_and_the_next_one_does_not(world: World):
    module = loaded(world, seconds=100)
    world.module_clock.at = NOW + 100
    assert await module.at_work.use(MAC, Cmac(b"x"))
    world.module_clock.at = NOW + 101
    with pytest.raises(SecretExpired):
        await module.at_work.use(MAC, Cmac(b"x"))
    assert world.vault(SERIAL).labels() == ASSETS
    world.module_clock.at = NOW
    with pytest.raises(SecretMissing):
        await module.at_work.use(MAC, Cmac(b"x"))


@pytest.mark.parametrize("when", ["before it is counted", "counted and not done", "done and not told"])
def test_power_goes_around_the_last_use(world: World, when: str):
    """A count is never behind: what was counted and not done is lost, and nothing is done that was not counted."""
    loaded(world, uses=1)
    line = contact(world).start()

    def before(effect: object) -> None:
        match when, effect:
            case (
                ("before it is counted", Persist())
                | ("counted and not done", UseSecret())
                | ("done and not told", Show(SecretAnswered()))
            ):
                raise PowerCut

    line.module.before = before
    with pytest.raises(PowerCut):
        line.module.order(SecretWanted(1, MAC, Cmac(b"x"), NOW, 0))
    line.module.abandon()
    assert not any(isinstance(note, SecretAnswered) for note in world.shown)
    world.module = world.blank_module()
    again = contact(world).start()
    again.module.order(SecretWanted(2, MAC, Cmac(b"x"), NOW, 0))
    (answer,) = (note for note in world.shown if isinstance(note, SecretAnswered))
    assert (answer.result is not None) == (when == "before it is counted")
    assert [held.left for held in world.module.record.keys] == ([0] if answer.result else [])
