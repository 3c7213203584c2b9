"""One module's life in hexadecimal: writes specs/example.json and the example in specs/protocol.md (`make specs`).

The parties are those that everybody runs, over memory links. Only entropy (seeded), clock (standing) and signatures
(deterministic, RFC 6979) are not as in the field, so that the bytes are always the same; a test compares them. What
the bytes mean is worked out by `reader.py`, which shares no code with the parties.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import trio
from reader import Reading, Recorded, Write, flights, read, read_line

from insitu.protocol.engine import KeyHandle, KeyKind, PublicKey
from insitu.protocol.keys.requests import read_request
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import MESSAGES, Authorize, CardRole, PayOut, TrustOption
from insitu.protocol.stores.memory_registry import MemoryRegistry
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.manufacturer import Manufacturer
from insitu.shell.module import Module
from insitu.shell.trusting import NOTHING, Means
from insitu.shell.unit import Unit
from insitu.transports.memory import memory_pair
from insitu.transports.serial.frames import Frame, Kind, Mark, attention, encode, ready

HERE: Final = Path(__file__).parent
NOW: Final = 1_800_000_000
SERIAL: Final = "SM-0001"
PINS: Final = {"alice": b"48151623", "bob": b"42108642"}
PAYMENT: Final = ("4000001234567899", "DE02120300000000202051", 5000, "EUR")
CALLER: Final = 0x01020304
ANSWERER: Final = 0x05060708
BEGIN: Final = "<!-- example: written by specs/example.py -->\n"
END: Final = "<!-- end of example -->\n"

Hex: TypeAlias = dict[str, str]
SHOWN_VALUES: Final = ("X", "G_XY", "TH_2", "TH_3", "TH_4", "PRK_out", "binding")
"""Intermediate values that protocol.md shows; example.json has all."""
_NAMES: Final = {vars(cls)["__wire_layout__"].number: cls.__name__ for cls in MESSAGES}


def now() -> int:
    """The clock of everybody."""
    return NOW


class Seeded:
    """Entropy that repeats: SHAKE-256 of the party's name and a counter. `drawn` remembers it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.drawn: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        """So many bytes."""
        seed = f"insitu example/{self._name}/{len(self.drawn)}".encode()
        self.drawn.append(hashlib.shake_256(seed).digest(size))
        return self.drawn[-1]


class Shown(MemoryVault):
    """A vault that lets its keys be seen, for this example only."""

    def __init__(self, name: str) -> None:
        super().__init__(Seeded(f"{name} keys"), repeatable=True)
        self.made: dict[str, tuple[bytes, bytes]] = {}

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """Make a pair, and note both halves."""
        handle = super().generate(label, kind, salt)
        self.made[label] = (self._keys.private_bytes_for_sealing(label), handle.public.data)
        return handle


class Recorder(trio.abc.Stream):
    """A stream that notes what is written to it."""

    def __init__(self, stream: trio.abc.Stream, sender: str, writes: list[Write]) -> None:
        self._stream = stream
        self._sender = sender
        self._writes = writes

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Note, then send."""
        rest, frames = bytes(data), []
        while rest:
            end = 2 + int.from_bytes(rest[:2], "big")
            frames.append(rest[2:end])
            rest = rest[end:]
        self._writes.append((self._sender, frames))
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As the stream does."""
        return bytes(await self._stream.receive_some(max_bytes))

    async def aclose(self) -> None:
        """As the stream does."""
        await self._stream.aclose()


def approve(serial: str, asked: Authorize) -> PayOut:
    """The host's decision."""
    return PayOut(number=asked.number, approved=True, amount=asked.amount, reference=f"{serial}/{asked.number}")


@dataclass
class Story:
    """The parties, and what was recorded of them."""

    vaults: dict[str, Shown] = field(default_factory=dict)
    sessions: list[tuple[str, Recorded]] = field(default_factory=list)
    salts: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("manufacturer", "card", "central", "module"):
            self.vaults[name] = Shown(name)
        self.entropy = Seeded("module sessions")
        manufacturer = Manufacturer(self.vaults["manufacturer"], entropy=Seeded("manufacturer"), now=now)
        self.card = Card(self.vaults["card"], entropy=Seeded("card"), now=now)
        self.central = Central(
            self.vaults["central"],
            MemoryRegistry(),
            decide=approve,
            blocking=False,
            entropy=Seeded("central sessions"),
            now=now,
        )
        self.module = Module(self.vaults["module"], entropy=self.entropy, now=now)
        self.root = manufacturer.establish("Module Maker")
        self.customer = manufacturer.sign_customer(self.card.furnish("Example Bank", PINS))
        self.card.install(self.root, self.customer)
        self.unit_der = self.certify(CardRole.UNIT, "unit-1", self.card.authentication.public)
        request = read_request(self.central.establish("Example Bank Host"))
        self.central_der = self.certify(CardRole.CENTRAL, request.subject, request.public)
        self.central.trust(self.root, self.customer, actor="operator")
        self.central.install(self.central_der)
        self.deliver(manufacturer)

    def deliver(self, manufacturer: Manufacturer) -> None:
        """The module gets serial number, root and identity."""
        self.module.initialize(
            SERIAL, self.root, lambda made: manufacturer.certify_identity(made.serial, made.key.public)
        )

    def approve(self, role: CardRole, subject: str, public: PublicKey | None = None) -> bytes:
        """Two people approve; the job's number."""
        job = self.card.propose(role, subject, public=public)
        for person, pin in PINS.items():
            self.card.approve(job, person, pin)
        if role is CardRole.MODULE:
            self.salts.append(job.salt)
        return job.number

    def certify(self, role: CardRole, subject: str, public: PublicKey) -> bytes:
        """A certificate by the card."""
        return self.card.certify(self.approve(role, subject, public), public)

    def means(self, serial: str) -> Means:
        """What people and documents contribute at the unit."""
        return NOTHING

    async def meet(self, title: str, option: TrustOption) -> None:
        """Module and unit meet."""
        if not any(job.subject == SERIAL for job in self.card.record.jobs):
            self.approve(CardRole.MODULE, SERIAL)
        writes: list[Write] = []
        here, there = memory_pair()
        unit = Unit(
            self.card,
            self.central_der,
            compare=lambda _: True,
            means=self.means,
            entropy=Seeded(f"unit session {len(self.sessions)}"),
            now=now,
        )
        async with trio.open_nursery() as nursery:
            unit_side = Recorder(there, "unit", writes)
            nursery.start_soon(lambda: unit.personalize(unit_side, SERIAL, option, wired=True))
            await self.module.meet_unit(Recorder(here, "module", writes), option, wired=True)
        static = None
        if option is TrustOption.PHYSICAL:
            static = int.from_bytes(self.vaults["module"].made["session"][0], "big")
        self.sessions.append((title, Recorded(writes, self.entropy.drawn[-1], self.root, static)))

    async def work(self, title: str, *, pays: bool) -> None:
        """Module and central system: an authorization and its outcome, or whatever the central system wants."""
        writes: list[Write] = []
        here, there = memory_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.central.attend, Recorder(there, "central", writes))
            session = partial(self.module.work, Recorder(here, "module", writes))
            if not pays:
                await session()
                nursery.cancel_scope.cancel()
            else:
                nursery.start_soon(session)
                await self._pay()
                nursery.cancel_scope.cancel()
        recorded = Recorded(writes, self.entropy.drawn[-1], self.root, customer=self.customer, central=self.central_der)
        self.sessions.append((title, recorded))

    async def _pay(self) -> None:
        work = self.module.at_work
        while not work.online:
            await trio.lowlevel.checkpoint()
        answer = await work.authorize(*PAYMENT)
        await work.settle(answer.number, answer.amount)
        while self.module.record.outbox:
            await trio.lowlevel.checkpoint()


async def tell() -> Story:
    """The module's life, recorded."""
    story = Story()
    await story.meet("first personalization, trust option certificates", TrustOption.CERTIFICATES)
    await story.meet("status, trust option certificates", TrustOption.CERTIFICATES)
    await story.work("operation: an authorization and its outcome", pays=True)
    story.central.registry.order_reset(SERIAL, actor="operator", at=NOW)
    await story.work("operation: a reset by command", pays=False)
    await story.meet("second personalization, trust option physical", TrustOption.PHYSICAL)
    return story


def example() -> dict[str, Any]:
    """The content of example.json."""
    story = trio.run(tell)
    keys = {
        f"{party}, {label}": {"private": private.hex(), "public": public.hex()}
        for party, vault in story.vaults.items()
        for label, (private, public) in vault.made.items()
    }
    certificates = {
        "manufacturer": story.root,
        "customer": story.customer,
        "unit": story.unit_der,
        "central": story.central_der,
        "identity": story.module.record.identity or b"",
        "module": story.module.record.module or b"",
    }
    return {
        "about": "Written by specs/example.py, explained in specs/protocol.md. All values are in hexadecimal. "
        "The private keys are made from the words in example.py and protect nothing.",
        "time": NOW,
        "keys": keys,
        "certificates": {name: der.hex() for name, der in certificates.items()},
        "salts": [salt.hex() for salt in story.salts],
        "sessions": [_session(title, recorded) for title, recorded in story.sessions],
        "serial line": _serial_line(story.sessions[0][1].writes[0][1][0]),
    }


def _session(title: str, recorded: Recorded) -> dict[str, Any]:
    reading: Reading = read(recorded)
    return {
        "title": title,
        "entropy of the module": recorded.entropy.hex(),
        "flights": [
            {"from": sender, "frames": [frame.hex() for frame in frames]} for sender, frames in flights(recorded.writes)
        ],
        "values": {name: value.hex() for name, value in reading.values.items()},
        "messages": [
            {"from": message.sender, "name": _NAMES[message.content[0]], "cbor": message.encoded.hex()}
            for message in reading.messages
        ],
        "signed": {name: statement.hex() for name, statement in reading.signed.items()},
    }


def _serial_line(message_1: bytes) -> dict[str, Any]:
    """How a session begins on a serial line: the call, its answer, and the module's first frame."""
    session = CALLER << 32 | ANSWERER
    said = [
        ("unit", "ATTENTION", 0, attention(CALLER)),
        ("module", "READY", 0, ready(session)),
        ("unit", "ACK", session, Frame(Kind.ACK)),
        ("module", "DATA", session, Frame(Kind.DATA, body=len(message_1).to_bytes(2, "big") + message_1)),
        ("unit", "ACK", session, Frame(Kind.ACK, next=1)),
    ]
    lines = []
    for sender, name, number, frame in said:
        line = encode(frame, Mark(number, caller=sender == "unit").outgoing)
        kind, _, _, _, body = read_line(line, from_caller=sender == "unit", session=number)
        lines.append({"from": sender, "name": name, "line": line.hex(), "kind": kind, "body": body.hex()})
    return {"caller": f"{CALLER:08x}", "answerer": f"{ANSWERER:08x}", "lines": lines}


def section(told: dict[str, Any]) -> str:
    """The part of protocol.md that shows the first session."""
    session = told["sessions"][0]
    names = iter(
        ["message_1", "message_2", "message_3", "message_4", *(message["name"] for message in session["messages"])]
    )
    lines = [BEGIN, "**On a serial line, before the first flight and with it**\n", "```text"]
    lines += [f"{line['from']:<7} {line['name']:<10} {line['line']}" for line in told["serial line"]["lines"]]
    lines.append("```\n")
    for number, flight in enumerate(session["flights"], 1):
        lines.append(f"**Flight {number}, from the {flight['from']}**\n")
        for frame in flight["frames"]:
            lines += [f"{next(names)}, {len(frame) // 2} bytes:\n", "```text", *_rows(frame), "```\n"]
    lines += ["**Values**\n", "```text"]
    lines += [f"{name:<8} {session['values'][name]}" for name in SHOWN_VALUES]
    lines += ["```\n", "**Messages inside the records**\n"]
    for message in session["messages"]:
        size = len(message["cbor"]) // 2
        lines += [f"{message['name']} from the {message['from']}, {size} bytes:\n", "```text"]
        lines += [*_rows(message["cbor"]), "```\n"]
    lines.append(END)
    return "\n".join(lines)


def _rows(digits: str) -> list[str]:
    return [digits[at : at + 120] for at in range(0, len(digits), 120)]


def with_section(document: str, shown: str) -> str:
    """protocol.md with the example renewed."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + shown + after


def main(write: Callable[[Path, str], object] = lambda path, text: path.write_text(text, encoding="utf-8")) -> None:
    """Write both."""
    told = example()
    write(HERE / "example.json", json.dumps(told, indent=1) + "\n")
    protocol = HERE / "protocol.md"
    write(protocol, with_section(protocol.read_text(encoding="utf-8"), section(told)))


if __name__ == "__main__":
    main()
