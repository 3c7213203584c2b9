"""A crowd of operating modules at one central system, all real but for their storage: keys, certificates, handshakes.

The central system is the command `insitu central serve` in a process of its own, with a sealed file and SQLite, as in
the field. The modules are in this process, and cheap: the handshake's own code and records, but neither a driver nor a
store, since it is not they who are measured.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from insitu.protocol.channel.edhoc.credentials import Credential
from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.channel.records import Records
from insitu.protocol.channel.trust import ModuleAtWork
from insitu.protocol.engine import Agree, Effect, GenerateKey, KeyHandle, KeyKind, PublicKey, Send, Sign, given
from insitu.protocol.keys.certificates import Role, VerifiedCertificate, draft_certificate, verify_issued
from insitu.protocol.keys.requests import read_request
from insitu.protocol.keys.vault import MemoryVault, SealedVault
from insitu.protocol.messages import CardRole, Greeting, Message, Purpose, Welcome, decode_message, encode_message
from insitu.protocol.ports import operate
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.registry import open_registry
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.keeping import wall_clock
from insitu.shell.manufacturer import Manufacturer
from insitu.transports.framing import FrameChannel

PASSPHRASE: Final = b"a passphrase for measuring"
_PINS: Final = {"alice": b"12345", "bob": b"67890"}
_DAY: Final = 24 * 3600
TICKS: Final = os.sysconf("SC_CLK_TCK")


class Customer:
    """A manufacturer and a customer's card, whose signing key certifies any number of modules without ceremony.

    Attributes:
        root: the manufacturer's certificate, DER.
        card: the card, furnished.

    """

    def __init__(self) -> None:
        manufacturer = Manufacturer(MemoryVault(secrets.token_bytes))
        self.root = manufacturer.establish("Example Modules")
        self._vault = MemoryVault(secrets.token_bytes)
        self.card = Card(self._vault)
        self.card.install(self.root, manufacturer.sign_customer(self.card.furnish("Example Bank", _PINS)))
        pairs = [self._vault.find(label) for label in self._vault.labels()]
        self._signing = next(pair for pair in pairs if pair is not None and pair.public == self.card.customer.public)

    def set_up(self, central: Central) -> VerifiedCertificate:
        """A central system that is certified and trusts this customer; its certificate."""
        request = read_request(central.establish("Central 1"))
        job = self.card.propose(CardRole.CENTRAL, request.subject, public=request.public)
        for person, pin in _PINS.items():
            self.card.approve(job, person, pin)
        certificate = self.card.certify(job.number, request.public)
        central.trust(self.root, self.card.customer.der, actor="benchmark")
        central.install(certificate)
        return verify_issued(certificate, self.card.customer, Role.CENTRAL, now=None)

    def certify(self, serial: str, public: PublicKey) -> bytes:
        """A module's operating certificate, DER."""
        now = wall_clock()
        draft = draft_certificate(
            Role.MODULE,
            serial,
            public,
            self.card.customer,
            random=secrets.token_bytes(16),
            not_before=now,
            not_after=now + _DAY,
        )
        return draft.assemble(self._vault.sign(self._signing, draft.to_be_signed))


@dataclass(frozen=True, slots=True)
class Member:
    """One module: what it pins, and the fingerprint of its certificate."""

    terms: ModuleAtWork
    fingerprint: bytes


class Crowd:
    """Modules of one customer, personalized for one central system.

    Attributes:
        keys: their key memory.

    """

    def __init__(self, customer: Customer, central: VerifiedCertificate) -> None:
        self._customer = customer
        self._central = central
        self.keys = MemoryVault(secrets.token_bytes)
        self._generation = 0

    def members(self, first: int, count: int) -> list[Member]:
        """The modules with these numbers, made now."""
        return [self._member(f"SM-{number:07}") for number in range(first, first + count)]

    def _member(self, serial: str) -> Member:
        key: KeyHandle = self.keys.generate(serial, KeyKind.P256, b"")
        der = self._customer.certify(serial, key.public)
        verified = verify_issued(der, self._customer.card.customer, Role.MODULE, now=None)
        return Member(ModuleAtWork(self._central, Credential.x5chain((der,), key.public), key), verified.fingerprint)

    async def come(self, member: Member, stream: trio.abc.Stream) -> Caller:
        """The module's session from the opening of the link to the central system's welcome."""
        channel = FrameChannel(stream)
        handshake = Handshake.initiate(member.terms, Purpose.OPERATE, secrets.token_bytes(64))
        await self._follow(handshake, channel, handshake.start(wall_clock()))
        while handshake.opened is None:
            frame = given(await channel.receive_frame())
            await self._follow(handshake, channel, handshake.receive(frame, wall_clock()))
        caller = Caller(channel, Records(handshake.established, initiator=True))
        self._generation += 1
        await caller.say(Greeting(0, member.fingerprint, self._generation, 0))
        welcome = await caller.hear()
        if not isinstance(welcome, Welcome):
            raise TypeError(f"expected a Welcome, got {welcome}")
        return caller

    async def _follow(self, handshake: Handshake, channel: FrameChannel, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, (GenerateKey, Sign, Agree)):
                answer = operate(effect, self.keys)
                await self._follow(handshake, channel, handshake.answer(answer, wall_clock()))
            elif isinstance(effect, Send):
                assert isinstance(effect.message, bytes)
                await channel.send_frame(effect.message)

    async def first_flight(self, member: Member, stream: trio.abc.Stream) -> None:
        """Half a handshake: message_1 goes, message_2 comes, and that is all."""
        channel = FrameChannel(stream)
        handshake = Handshake.initiate(member.terms, Purpose.OPERATE, secrets.token_bytes(64))
        await self._follow(handshake, channel, handshake.start(wall_clock()))
        given(await channel.receive_frame())


@dataclass(frozen=True, slots=True)
class Caller:
    """A module with an open session."""

    channel: FrameChannel
    records: Records

    async def say(self, message: Message) -> None:
        """Send a message."""
        await self.channel.send_frames(self.records.seal(encode_message(message)))

    async def hear(self) -> Message:
        """The next message."""
        return decode_message(given(self.records.open(given(await self.channel.receive_frame()))))


@dataclass(frozen=True, slots=True)
class Process:
    """A process that serves at a port of this machine, seen from outside."""

    pid: int
    port: int

    @property
    def memory(self) -> int:
        """Bytes that it has in memory of its own, not counting files."""
        return int(Path(f"/proc/{self.pid}/status").read_text().split("RssAnon:")[1].split()[0]) * 1024

    @property
    def seconds(self) -> float:
        """Processor time of all its threads so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    async def connect(self) -> trio.SocketStream:
        """A connection."""
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@contextmanager
def serving(command: Sequence[str], folder: Path) -> Iterator[Process]:
    """A process that says on its first line at which port it serves; it ends with the context."""
    said = folder / "said"
    with (
        said.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process,  # noqa: S603 - our own programs
    ):
        try:
            while (found := re.match(r"ready, .*:(\d+)\n", said.read_text())) is None:
                if process.poll() is not None:
                    raise OSError(f"expected a port, got {said.read_text()!r}")
                time.sleep(0.05)
            yield Process(process.pid, int(found[1]))
        finally:
            process.terminate()


@contextmanager
def idle() -> Iterator[Process]:
    """A process of trio's own (idle.py)."""
    command = [sys.executable, str(Path(__file__).with_name("idle.py"))]
    with tempfile.TemporaryDirectory() as folder, serving(command, Path(folder)) as process:
        yield process


@contextmanager
def host() -> Iterator[tuple[Process, Crowd]]:
    """`insitu central serve`, and modules that it knows how to trust."""
    customer = Customer()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, passphrase = folder / "central.insitu", folder / "central.pass"
        passphrase.touch(0o600)
        passphrase.write_bytes(PASSPHRASE)
        with (
            SealedVault.create(store, StoreKind.CENTRAL, Secret(PASSPHRASE), entropy=secrets.token_bytes) as vault,
            closing(open_registry(f"{store}.db")) as registry,
        ):
            certificate = customer.set_up(Central(vault, registry))
        serve = ["central", "serve", "--store", str(store), "--passphrase-file", str(passphrase)]
        command = [sys.executable, "-m", "insitu", *serve, "--limit", "10000", "--listen", "tcp:127.0.0.1:0"]
        with serving(command, folder) as process:
            yield process, Crowd(customer, certificate)
