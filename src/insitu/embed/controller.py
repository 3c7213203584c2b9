"""What an ATM controller has of a module: blocking functions, callbacks, and nothing of trio.

How the thread works and what a timeout does stand in `thread.py`; what the module does, in `insitu.shell`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import trio

from ..protocol.engine import (
    Cmac,
    EncipherPin,
    InsituError,
    PinFormat,
    RetailMac,
    SecretUsage,
    StateError,
    UsageError,
)
from ..protocol.messages import OpenTransaction, TrustOption
from ..protocol.parties.module_data import ModuleState
from ..protocol.parties.work_data import InstructionCame, PayOutInstructed
from ..protocol.stores.counter import MonotonicCounter
from ..shell.at_work import open_module
from ..shell.module import Module
from ..shell.programs import ModuleProgram
from ..transports.links import Address
from .thread import NotRunning, TrioThread

R = TypeVar("R")

PATIENCE: Final = 10.0
"""Seconds that a call waits unless told otherwise."""
LONGEST_MAC: Final = 1 << 20
"""Bytes that one MAC may be about: the module does nothing else meanwhile."""

_log: Final = logging.getLogger("insitu.embed")


@dataclass(frozen=True, slots=True)
class Status:
    """How a module stands.

    Attributes:
        serial: its serial number.
        state: BLANK, DELIVERED, OPERATING or RESET.
        epoch: how many resets it has seen.
        online: whether a session with the central system is open for business.
        unsettled: authorizations whose outcome nobody has told: after a restart the controller has to, with `settle`.
        check_values: of the symmetric keys, by usage.

    """

    serial: str
    state: ModuleState
    epoch: int
    online: bool
    unsettled: tuple[OpenTransaction, ...]
    check_values: dict[str, str]


def _nobody(note: object) -> None:
    """Nobody wants the notes."""


class Controller:
    """A module in a background thread.

    Args:
        store: the sealed file that the manufacturer delivered.
        central: the central system's address; None: never goes online.
        passphrase_file: an owner-only file that unseals the store.
        passphrase_hook: instead of a file, a command whose output unseals it.
        link: where personalization units turn up, say "serial:/dev/ttyUSB0" or "tcp:0.0.0.0:4711"; None: nowhere.
        trust: how they are trusted.
        declared_wired: the operator answers for it that the link is a cable.
        counter: a monotonic counter outside the store.
        legacy: older symmetric methods are admitted.
        on_instruction: gets number and bytes of each instruction of the host, in a thread of its own, one at a time.
            It may call the controller. When it returns, the instruction is done with; when it raises, that is noted,
            and it comes again after the next start. After a crash it may come a second time with the same number.
        on_note: gets notes, progress and, as lines of text, errors, in the module's thread. It must not block, and
            cannot call the controller, except for `stop`. What it raises is logged (`insitu.embed`), nothing more.

    Raises:
        AddressError: `central` or `link` is no address.

    """

    def __init__(
        self,
        store: Path,
        *,
        central: str | None = None,
        passphrase_file: Path | None = None,
        passphrase_hook: list[str] | None = None,
        link: str | None = None,
        trust: TrustOption = TrustOption.CERTIFICATES,
        declared_wired: bool = False,
        counter: MonotonicCounter | None = None,
        legacy: bool = False,
        on_instruction: Callable[[int, bytes], None] | None = None,
        on_note: Callable[[object], None] = _nobody,
    ) -> None:
        self._store = store
        self._central = None if central is None else Address.parse(central)
        self._passphrase = {"passphrase_file": passphrase_file, "passphrase_hook": passphrase_hook}
        self._link = None if link is None else Address.parse(link)
        self._trust = trust
        self._declared_wired = declared_wired
        self._counter = counter
        self._legacy = legacy
        self._on_instruction = on_instruction
        self._on_note = on_note
        self._starting = threading.Lock()
        self._thread: TrioThread | None = None
        self._module: Module | None = None
        self._came = trio.Event()

    # Life

    def start(self, timeout: float = 30.0) -> Self:
        """Unseal the store and begin; returns when the module waits for units and calls its host.

        Raises:
            UsageError, EnvironmentFault, StateError: the store cannot be opened, or a counter says it is an old copy.
            StateError: it runs already.
            LinkError: `link` cannot be opened.
            NoAnswer: it takes too long.

        """
        if not self._starting.acquire(blocking=False):
            raise StateError("the module is being started", who="controller", expected="one start at a time")
        try:
            if self._thread is not None and self._thread.runs:
                raise StateError("the module runs", who="controller", expected="a module that was not started")
            self._thread = TrioThread(self._main, self._tell)
            self._thread.start(timeout)
        finally:
            self._starting.release()
        return self

    def stop(self, timeout: float = PATIENCE) -> None:
        """End sessions in good order and close the store. From any thread, at any time, as often as you like.

        Calls that wait get NotRunning. A callback may stop the module, too: on_note then does not wait for the end.
        A program that ends without it has it done as the interpreter exits.

        Raises:
            NoAnswer: it takes too long; it ends as soon as it can, and another call waits for that.

        """
        thread = self._thread
        if thread is not None:
            thread.stop(timeout)

    close = stop

    @property
    def runs(self) -> bool:
        """Whether the module was started and has not ended, by `stop` or by itself; in this process."""
        return self._thread is not None and self._thread.runs

    def __enter__(self) -> Self:
        return self if self.runs else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # What a controller wants

    def status(self, *, timeout: float = PATIENCE) -> Status:
        """How things stand."""

        async def look(module: Module) -> Status:
            record, work = module.record, module.at_work
            secrets = (module.keys.find_secret(held.label) for held in record.keys)
            values = {secret.usage.value: secret.check_value for secret in secrets if secret is not None}
            return Status(record.serial, module.state, record.epoch, work.online, work.unsettled, values)

        return self._call(look, timeout)

    def authorize(
        self, card: str, account: str, amount: int, currency: str, *, timeout: float = 60.0
    ) -> PayOutInstructed:
        """Ask the host; its instruction. When the time is over, nothing is paid out, and the host is told so.

        After an approval, say with `settle` what the customer got. The same holds as for the time if the caller is
        interrupted (Ctrl-C) while it waits.

        Raises:
            NoAnswer: the time is over.
            StateError: no session with the host, or too much is open.
            UsageError: a field that cannot travel.

        """

        async def nothing_was_paid(module: Module, answer: PayOutInstructed) -> None:
            if answer.approved:
                await module.at_work.settle(answer.number, 0)

        return self._call(
            lambda module: module.at_work.authorize(card, account, amount, currency), timeout, nothing_was_paid
        )

    def settle(self, number: int, paid: int, *, timeout: float = PATIENCE) -> None:
        """Say what the customer got, in minor units; durable when it returns, and told to the host once.

        Raises:
            NoAnswer: the time is over; whether it is settled, `status().unsettled` says.
            StateError: no such authorization is open, or less was instructed.

        """
        self._call(lambda module: module.at_work.settle(number, paid), timeout)

    def send(self, content: bytes, *, timeout: float = PATIENCE) -> int:
        """Give the host a payload; its number. Durable when it returns, with a session or not; the host gets it once.

        Raises:
            NoAnswer: the time is over; the host may get it or not.
            UsageError: it is too long.
            StateError: too much is waiting, or the module does not operate.

        """
        data = _bytes_of(content, "payload")
        return self._call(lambda module: module.at_work.send(data), timeout)

    def encrypt_pin_block(
        self, pin: str, card: str, pin_format: PinFormat = PinFormat.ISO_4, *, timeout: float = PATIENCE
    ) -> bytes:
        """An encrypted PIN block under the key that the host loaded for PINs (ISO 9564-1).

        Raises:
            StateError: no such key, it has expired, nobody vouches for it, or policy does not admit the format;
                SecretUnusable says which (insitu.protocol.parties.work_keys).
            UsageError: PIN or card number that ISO 9564-1 has no block for.

        """
        _check_digits("PIN", pin, 4, 12)
        _check_digits("card number", card, 12, 19)
        if pin_format not in tuple(PinFormat):
            raise UsageError("PIN block", who="controller", expected="format 0, 3 or 4", got="another")
        wanted = EncipherPin(pin, card, pin_format)
        return self._call(lambda module: module.at_work.use(SecretUsage.PIN, wanted), timeout)

    def mac(self, data: bytes, *, retail: bool = False, timeout: float = PATIENCE) -> bytes:
        """AES CMAC (16 bytes) under the key that the host loaded for MACs; `retail`: the TDES MAC of X9.19 (8 bytes).

        Raises:
            StateError: as for PIN blocks.
            UsageError: more than LONGEST_MAC bytes.

        """
        content = _bytes_of(data, "data to be authenticated")
        if len(content) > LONGEST_MAC:
            expected = f"at most {LONGEST_MAC} bytes"
            raise UsageError("data to be authenticated", who="controller", expected=expected, got=len(content))
        wanted = RetailMac(content) if retail else Cmac(content)
        return self._call(lambda module: module.at_work.use(SecretUsage.MAC, wanted), timeout)

    def reset_by_hand(self, *, timeout: float = PATIENCE) -> int:
        """Erase keys and certificates: a person at the machine confirmed it. The epoch that begins.

        Raises:
            StateError: the module does not operate.
            EnvironmentFault: storage failed.

        """
        return self._call(lambda module: module.reset(), timeout)

    # How it is done

    def _call(
        self,
        wish: Callable[[Module], Awaitable[R]],
        timeout: float,
        undo: Callable[[Module, R], Awaitable[object]] | None = None,
    ) -> R:
        thread = self._thread
        if thread is None:
            raise NotRunning("the module does not run", who="controller", expected="start")

        def module() -> Module:
            if self._module is None:
                raise NotRunning("the module does not run", who="controller", expected="start")
            return self._module

        async def done() -> R:
            return await wish(module())

        async def undone(result: R) -> None:
            if undo is not None:
                await undo(module(), result)

        return thread.call(done, timeout, undone if undo is not None else None)

    async def _main(self, ready: Callable[[], None]) -> None:
        self._came = trio.Event()
        about = {"counter": self._counter, "legacy": self._legacy, "show": self._note, **self._passphrase}
        store = ExitStack()
        opening = partial(store.enter_context, open_module(self._store, **about))  # type: ignore[arg-type]
        try:
            self._module = module = await trio.to_thread.run_sync(opening)
            program = ModuleProgram(
                module,
                self._link,
                self._trust,
                declared_wired=self._declared_wired,
                central=self._central,
                tell=self._tell,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hand_over_instructions, module)
                await program.run(ready=lambda _: ready())
        finally:
            self._module = None
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(store.close)

    def _tell(self, line: str) -> None:
        self._note(line)

    def _note(self, note: object) -> None:
        if isinstance(note, InstructionCame):
            self._came.set()
        try:
            self._on_note(note)
        except BaseException as error:  # the module goes on, whatever its listener does
            _log.error("on_note raised %s", type(error).__name__)

    async def _hand_over_instructions(self, module: Module) -> None:
        """One after the other, each until it is done with or raised."""
        take, done = self._on_instruction, 0
        while take is not None:
            for waiting in module.at_work.instructions:
                if waiting.number <= done:
                    continue
                done = waiting.number
                hand_over = partial(_raised_by, take, waiting.number, waiting.content)
                raised = await trio.to_thread.run_sync(hand_over, abandon_on_cancel=True)
                if raised is not None:
                    self._tell(f"instruction {done}: {raised}")
                    continue
                try:
                    await module.at_work.take(done)
                except InsituError as error:
                    self._tell(str(error))
            if all(waiting.number <= done for waiting in module.at_work.instructions):
                await self._came.wait()
                self._came = trio.Event()


def _raised_by(take: Callable[[int, bytes], None], number: int, content: bytes) -> str | None:
    """What the callback raised, by name; its words are its own business."""
    try:
        take(number, content)
    except BaseException as error:  # in a thread of its own, even SystemExit ends nothing
        return type(error).__name__
    return None


def _check_digits(what: str, text: object, least: int, most: int) -> None:
    """Here, since what is wrong with them costs no use of the key then; nothing of them is in the error (S9)."""
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and least <= len(text) <= most):
        raise UsageError(what, who="controller", expected=f"{least} to {most} digits", got="something else")


def _bytes_of(content: object, what: str) -> bytes:
    if isinstance(content, (bytes, bytearray, memoryview)):
        return bytes(content)
    raise UsageError(what, who="controller", expected="bytes", got=type(content).__name__)
