"""The story over TCP or a serial line: every party is a process, run by the commands that are there for real use."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from ..shell import pem
from ..shell.telling import certificate_fingerprint
from ..transports.faulty import CLEAN, Faults
from . import stage as names
from .options import before_meeting, deliver, for_module, for_unit, people, unsealed, while_meeting
from .processes import Program, call, entered, noted
from .report import DemoFailed, Report
from .stage import PAYMENT, Stage

if TYPE_CHECKING:
    from ..transports.serial.ptypair import PtyPair


ANY_PORT: Final = "tcp:127.0.0.1:0"


async def _provide(stage: Stage, report: Report) -> None:
    """Everybody gets keys and certificates; the module is delivered (L1)."""
    file = {name: str(stage.pem(name)) for name in (*names.CERTIFICATES, "customer-request", "central-request")}
    maker, card = unsealed(stage, "manufacturer"), unsealed(stage, "card")
    central = unsealed(stage, "central")
    pins = people(stage)
    async with trio.open_nursery() as nursery:
        for party, words in (
            ("manufacturer", (*maker, "--name", names.MANUFACTURER, "--root", file["manufacturer"])),
            ("card", (*card, "--name", names.CUSTOMER, *pins, "--request", file["customer-request"])),
            ("central", (*central, "--name", names.CENTRAL, "--request", file["central-request"])),
        ):
            nursery.start_soon(call, report, party, party, "init", *words)
    request = ("--request", file["customer-request"], "--out", file["customer"])
    await call(report, "manufacturer", "manufacturer", "sign-customer", *maker, *request)
    chain = ("--root", file["manufacturer"], "--customer", file["customer"])
    fingerprint = certificate_fingerprint(pem.read_certificate(stage.pem("manufacturer")))

    async def deliver_and_trust() -> None:
        if report.trust != "ticket":  # tickets come from the card, once it has its certificate
            await deliver(stage, report)
        await call(report, "central", "central", "trust", *central, *chain, "--fingerprint", fingerprint)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver_and_trust)
        await call(report, "card", "card", "install", *card, *chain)
        jobs = ("--unit", names.UNIT, "--central", file["central-request"], "--out", str(stage.directory))
        await _approve(stage, report, *jobs)
    if report.trust == "ticket":
        await deliver(stage, report)
    await call(report, "central", "central", "install", *central, "--certificate", file["central"])


async def _approve(stage: Stage, report: Report, *more: str) -> None:
    """Two people approve the module's job, and whatever else there is."""
    words = [*unsealed(stage, "card"), *people(stage), "--module", names.SERIAL, *more]
    await call(report, " and ".join(names.PEOPLE), "card", "approve", *words)


async def act_with_processes(stage: Stage, report: Report, baud: int) -> None:
    """Act the whole life; `baud` paces a serial line, 0: as fast as it goes."""
    await _provide(stage, report)
    async with trio.open_nursery() as nursery:
        line, at_module, at_unit = None, ANY_PORT, ""
        local, at_mobile = ANY_PORT, ""
        if report.link == "serial":
            line, at_module, at_unit = await _serial_line(nursery, baud)
            if report.trust == "conveyed":  # the mobile's local link is another one
                _, local, at_mobile = await _serial_line(nursery, baud)
        host = Program(
            report,
            "central",
            "central",
            "serve",
            *unsealed(stage, "central"),
            *("--listen", "tcp:127.0.0.1:0", "--limit", str(names.LIMIT), "--commands"),
        )
        await nursery.start(host.run)
        listening = await host.expect("an open port", noted("Ready"))
        module = Program(
            report,
            "module",
            "module",
            "run",
            *unsealed(stage, "module"),
            *("--link", at_module, "--central", str(listening["at"]), "--requests"),
            *for_module(stage, report.trust, local),
        )
        await nursery.start(module.run)
        woken = await module.expect("an open link", noted("Ready"))
        report.begin_at(str(woken["state"]))
        at_unit = at_unit or str(woken["at"])
        for round_number in (1, 2):
            if round_number == 2:
                await _approve(stage, report)
            await before_meeting(stage, report)
            before = line.carried if line else (0, 0)
            result = await _personalize(nursery, stage, report, module, at_unit, at_mobile, round_number)
            await module.expect("a session with the central system", entered("ONLINE"), times=round_number)
            if line:  # what really crossed the wire, the link's own frames included
                right, left = (now - then for now, then in zip(line.carried, before, strict=True))
                report.personalized(sent=right, received=left)
            else:
                report.personalized(sent=_number(result["sent"]), received=_number(result["received"]))
            if round_number == 1:
                await _work_and_reset(host, module)
        out = str(stage.directory / names.LOG)
        await call(report, "card", "log", "export", *unsealed(stage, "card"), "--out", out)
        nursery.cancel_scope.cancel()


async def _serial_line(nursery: trio.Nursery, baud: int) -> tuple[PtyPair, str, str]:
    """A line of two pseudo-terminals, and the addresses of its ends."""
    from ..transports.serial.ptypair import PtyPair

    line = PtyPair()
    pace = Faults(baud=baud) if baud else CLEAN
    await nursery.start(partial(line.run, to_right=pace, to_left=pace))
    right, left = (f"serial:{path}?baud={baud or 115200}" for path in (line.right, line.left))
    return line, right, left


async def _personalize(
    nursery: trio.Nursery,
    stage: Stage,
    report: Report,
    module: Program,
    link: str,
    local: str,
    round_number: int,
) -> dict[str, object]:
    unit = Program(
        report,
        "unit",
        "unit",
        "personalize",
        *unsealed(stage, "card", "card"),
        *("--link", link, "--serial", names.SERIAL, "--central", str(stage.pem("central"))),
        *("--out", str(stage.pem(f"module-{round_number}"))),
        *for_unit(stage, report.trust),
    )
    await nursery.start(unit.run)
    await while_meeting(stage, report, module, unit, local)
    result = await unit.expect("a personalized module", noted("Result"))
    while not unit.ended:
        await trio.sleep(0.01)
    return result


async def _work_and_reset(host: Program, module: Program) -> None:
    await host.expect("the module's contact", noted("ModuleContacted"))
    await module.ask(authorize={field.name: getattr(PAYMENT, field.name) for field in fields(PAYMENT)})
    answer = await module.expect("an instruction", noted("PayOutInstructed"))
    await module.ask(settle={"number": answer["number"], "paid": answer["amount"]})
    await module.expect("the host's receipt", noted("PayloadReceived"))
    await host.ask(reset=names.SERIAL)
    await module.expect("an erased key", noted("KeysErased"))
    await host.expect("the module's word", noted("ModuleReset"))


def _number(value: object) -> int:
    if not isinstance(value, int):
        raise DemoFailed("a number", got=value)
    return value
