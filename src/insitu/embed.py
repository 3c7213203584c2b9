"""A security module for programs that know no trio: it runs in a thread of its own, and they call blocking functions.

    with Controller(Path("module.insitu"), central="tcp:bank:4712", passphrase_file=Path("module.pass")) as module:
        answer = module.authorize("4000001234567899", "DE02120300000000202051", 5000, "EUR", timeout=20)

Calls may come from any thread, several at once. Each has a timeout; what it was about afterwards, its docstring says.
Programs with an event loop of their own drive `insitu.protocol.session` instead (examples/asyncio_module.py).
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import trio

from .protocol.engine import (
    Cmac,
    EncipherPin,
    EnvironmentFault,
    InsituError,
    PinFormat,
    RetailMac,
    SecretUsage,
    StateError,
)
from .protocol.messages import OpenTransaction, TrustOption
from .protocol.parties.module_data import ModuleState
from .protocol.parties.work_data import InstructionCame, PayOutInstructed
from .protocol.stores.counter import MonotonicCounter
from .shell.at_work import open_module
from .shell.module import Module
from .shell.programs import ModuleProgram
from .transports.links import Address

__all__ = ["Controller", "NoAnswer", "Status"]

R = TypeVar("R")

PATIENCE: Final = 10.0
"""Seconds that a call waits unless told otherwise."""


class NoAnswer(EnvironmentFault):
    """The time that the caller gave is over."""


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
            When it returns, the instruction is done with; when it raises, it comes again after the next start. After a
            crash it may come a second time with the same number.
        on_note: gets notes and progress, in the module's thread; it must not block.

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
        self._thread: threading.Thread | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        self._scope: trio.CancelScope | None = None
        self._module: Module | None = None
        self._came: trio.Event | None = None

    # Life

    def start(self, timeout: float = 30.0) -> Self:
        """Unseal the store and begin; returns when the module waits for units and calls its host.

        Raises:
            UsageError, EnvironmentFault, StateError: the store cannot be opened, or a counter says it is an old copy.
            StateError: it runs already.

        """
        if self._thread is not None:
            raise StateError("the module runs", who="controller", expected="a module that was not started")
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="insitu module", daemon=True)
        self._thread.start()
        try:
            ready.result(timeout)
        except TimeoutError:
            self.stop()
            raise NoAnswer("the module did not start", who="controller", expected=f"within {timeout:g} s") from None
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, timeout: float = PATIENCE) -> None:
        """End sessions in good order and close the store; a second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._token is not None and self._scope is not None:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        thread.join(timeout)
        if thread.is_alive():
            raise NoAnswer("the module does not end", who="controller", expected=f"within {timeout:g} s")

    def __enter__(self) -> Self:
        return self if self._thread else self.start()

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

        After an approval, say with `settle` what the customer got.

        Raises:
            NoAnswer: the time is over.
            StateError: no session with the host, or too much is open.
            UsageError: a field that cannot travel.

        """
        return self._call(lambda module: module.at_work.authorize(card, account, amount, currency), timeout)

    def settle(self, number: int, paid: int, *, timeout: float = PATIENCE) -> None:
        """Say what the customer got, in minor units; durable when it returns, and told to the host once.

        Raises:
            StateError: no such authorization is open, or less was instructed.

        """
        self._call(lambda module: module.at_work.settle(number, paid), timeout)

    def send(self, content: bytes, *, timeout: float = PATIENCE) -> int:
        """Give the host a payload; its number. Durable when it returns, with a session or not; the host gets it once.

        Raises:
            UsageError: it is too long.
            StateError: too much is waiting, or the module does not operate.

        """
        return self._call(lambda module: module.at_work.send(content), timeout)

    def encrypt_pin_block(
        self, pin: str, card: str, pin_format: PinFormat = PinFormat.ISO_4, *, timeout: float = PATIENCE
    ) -> bytes:
        """An encrypted PIN block under the key that the host loaded for PINs (ISO 9564-1).

        Raises:
            StateError: no such key, it has expired, nobody vouches for it, or policy does not admit the format.

        """
        wanted = EncipherPin(pin, card, pin_format)
        return self._call(lambda module: module.at_work.use(SecretUsage.PIN, wanted), timeout)

    def mac(self, data: bytes, *, retail: bool = False, timeout: float = PATIENCE) -> bytes:
        """AES CMAC (16 bytes) under the key that the host loaded for MACs; `retail`: the TDES MAC of X9.19 (8 bytes).

        Raises:
            StateError: as for PIN blocks.

        """
        wanted = RetailMac(data) if retail else Cmac(data)
        return self._call(lambda module: module.at_work.use(SecretUsage.MAC, wanted), timeout)

    def reset_by_hand(self, *, timeout: float = PATIENCE) -> int:
        """Erase keys and certificates: a person at the machine confirmed it. The epoch that begins.

        Raises:
            StateError: the module does not operate.
            EnvironmentFault: storage failed.

        """

        async def reset(module: Module) -> int:
            return module.reset_by_hand()

        return self._call(reset, timeout)

    # How it is done

    def _call(self, wish: Callable[[Module], Awaitable[R]], timeout: float) -> R:
        token = self._token
        if token is None or self._thread is None:
            raise StateError("the module does not run", who="controller", expected="start")

        async def granted() -> R:
            if self._module is None:
                raise StateError("the module does not run", who="controller", expected="start")
            with trio.move_on_after(timeout):
                return await wish(self._module)
            raise NoAnswer("no answer in time", who="controller", expected=f"within {timeout:g} s")

        try:
            return trio.from_thread.run(granted, trio_token=token)
        except (trio.RunFinishedError, trio.Cancelled):
            raise StateError("the module was stopped", who="controller", expected="a module that runs") from None

    def _run(self, ready: Future[None]) -> None:
        try:
            trio.run(self._main, ready)
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
        finally:
            self._token = self._module = None

    async def _main(self, ready: Future[None]) -> None:
        self._token, self._came = trio.lowlevel.current_trio_token(), trio.Event()
        about = {"counter": self._counter, "legacy": self._legacy, "show": self._note, **self._passphrase}
        with trio.CancelScope() as self._scope, open_module(self._store, **about) as module:  # type: ignore[arg-type]
            self._module = module
            program = ModuleProgram(
                module,
                self._link,
                self._trust,
                declared_wired=self._declared_wired,
                central=self._central,
                tell=self._on_note,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hand_over_instructions, module)
                await program.run(ready=lambda _: ready.set_result(None))

    def _note(self, note: object) -> None:
        if isinstance(note, InstructionCame) and self._came is not None:
            self._came.set()
        self._on_note(note)

    async def _hand_over_instructions(self, module: Module) -> None:
        """One after the other, each until it is done with or raised."""
        take, done = self._on_instruction, 0
        while take is not None and self._came is not None:
            for waiting in module.at_work.instructions:
                if waiting.number <= done:
                    continue
                done = waiting.number
                try:
                    await trio.to_thread.run_sync(take, waiting.number, waiting.content, abandon_on_cancel=True)
                    await module.at_work.take(waiting.number)
                except InsituError as error:
                    self._on_note(str(error))
                except Exception as error:
                    self._on_note(f"instruction {waiting.number}: {type(error).__name__}")
            if all(waiting.number <= done for waiting in module.at_work.instructions):
                await self._came.wait()
                self._came = trio.Event()
