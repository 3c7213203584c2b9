"""The story over TCP or a serial line: every party is a process, run by the commands that are there for real use."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import trio

from ..shell import pem
from ..shell.telling import certificate_fingerprint
from ..transports.faulty import CLEAN, Faults
from . import stage as names
from .processes import Program, call, entered, noted
from .report import DemoFailed, Report
from .stage import PAYMENT, Stage


def _unsealed(stage: Stage, party: str, option: str = "store", prefix: str = "") -> tuple[str, ...]:
    return f"--{option}", str(stage.store(party)), f"--{prefix}passphrase-file", str(stage.passphrase(party))


async def _provide(stage: Stage, report: Report) -> None:
    """Everybody gets keys and certificates; the module is delivered (L1)."""
    file = {name: str(stage.pem(name)) for name in (*names.CERTIFICATES, "customer-request", "central-request")}
    maker, card = _unsealed(stage, "manufacturer"), _unsealed(stage, "card")
    central = _unsealed(stage, "central")
    pins = _people(stage)
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

    async def deliver() -> None:
        if report.trust != "ticket":  # tickets come from the card, once it has its certificate
            await _deliver(stage, report)
        await call(report, "central", "central", "trust", *central, *chain, "--fingerprint", fingerprint)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver)
        await call(report, "card", "card", "install", *card, *chain)
        jobs = ("--unit", names.UNIT, "--central", file["central-request"], "--out", str(stage.directory))
        await _approve(stage, report, *jobs)
    if report.trust == "ticket":
        await _deliver(stage, report)
    await call(report, "central", "central", "install", *central, "--certificate", file["central"])


async def _deliver(stage: Stage, report: Report) -> None:
    """The module gets its serial number, root and identity, and what the trust option asks for."""
    maker, module = _unsealed(stage, "manufacturer"), _unsealed(stage, "module", "module", "module-")
    more: tuple[str, ...] = ()
    if report.trust == "ticket":
        order = (
            *_unsealed(stage, "card"),
            "--count",
            "1",
            *_people(stage),
            *_unsealed(stage, "tickets", "out", "out-"),
        )
        await call(report, " and ".join(names.PEOPLE), "card", "tickets", *order)
        sent = _unsealed(stage, "tickets", "tickets", "tickets-")
        await call(report, "manufacturer", "manufacturer", "take-tickets", *maker, *sent)
        more = ("--ticket", names.CUSTOMER)
    elif report.trust == "shipped-key":
        more = ("--shipped-key-sheet", str(stage.sheet))
    words = ("manufacturer", "initialize-module", *maker, *module, "--serial", names.SERIAL, *more)
    await call(report, "manufacturer", *words)
    if report.trust == "shipped-key":
        stage.type_shipped_key()


async def _approve(stage: Stage, report: Report, *more: str) -> None:
    """Two people approve the module's job, and whatever else there is."""
    words = [*_unsealed(stage, "card"), *_people(stage), "--module", names.SERIAL, *more]
    await call(report, " and ".join(names.PEOPLE), "card", "approve", *words)


def _people(stage: Stage) -> list[str]:
    words: list[str] = []
    for person in names.PEOPLE:
        words += ("--person", person, "--pin-file", f"{person}={stage.pin(person)}")
    return words


async def act_with_processes(stage: Stage, report: Report, baud: int) -> None:
    """Act the whole life; `baud` paces a serial line, 0: as fast as it goes."""
    await _provide(stage, report)
    async with trio.open_nursery() as nursery:
        if report.link == "serial":
            from ..transports.serial.ptypair import PtyPair

            line = PtyPair()
            pace = Faults(baud=baud) if baud else CLEAN
            await nursery.start(partial(line.run, to_right=pace, to_left=pace))
            at_module, at_unit = (f"serial:{path}?baud={baud or 115200}" for path in (line.right, line.left))
        else:
            line, at_module, at_unit = None, "tcp:127.0.0.1:0", ""
        host = Program(
            report,
            "central",
            "central",
            "serve",
            *_unsealed(stage, "central"),
            *("--listen", "tcp:127.0.0.1:0", "--limit", str(names.LIMIT), "--commands"),
        )
        await nursery.start(host.run)
        listening = await host.expect("an open port", noted("Ready"))
        trust = ("--trust", report.trust, *(("--declare-wired",) if report.trust == "physical" else ()))
        module = Program(
            report,
            "module",
            "module",
            "run",
            *_unsealed(stage, "module"),
            *("--link", at_module, "--central", str(listening["at"]), "--requests", *trust),
        )
        await nursery.start(module.run)
        woken = await module.expect("an open link", noted("Ready"))
        report.begin_at(str(woken["state"]))
        at_unit = at_unit or str(woken["at"])
        for round_number in (1, 2):
            if round_number == 2:
                await _approve(stage, report)
            before = line.carried if line else (0, 0)
            result = await _personalize(nursery, stage, report, module, at_unit, trust, round_number)
            await module.expect("a session with the central system", entered("ONLINE"), times=round_number)
            if line:  # what really crossed the wire, the link's own frames included
                right, left = (now - then for now, then in zip(line.carried, before, strict=True))
                report.personalized(sent=right, received=left)
            else:
                report.personalized(sent=_number(result["sent"]), received=_number(result["received"]))
            if round_number == 1:
                await _work_and_reset(host, module)
        out = str(stage.directory / names.LOG)
        await call(report, "card", "card", "log", *_unsealed(stage, "card"), "--out", out)
        nursery.cancel_scope.cancel()


async def _personalize(
    nursery: trio.Nursery,
    stage: Stage,
    report: Report,
    module: Program,
    link: str,
    trust: tuple[str, ...],
    round_number: int,
) -> dict[str, object]:
    unit = Program(
        report,
        "unit",
        "unit",
        "personalize",
        *_unsealed(stage, "card", "card"),
        *("--link", link, "--serial", names.SERIAL, "--central", str(stage.pem("central")), *trust),
        *("--out", str(stage.pem(f"module-{round_number}"))),
        *(("--shipped-key-file", str(stage.shipped_key)) if report.trust == "shipped-key" else ()),
    )
    await nursery.start(unit.run)
    if report.trust == "physical":  # whoever stands there compares what module and unit show
        presented = await unit.expect("a key", noted("KeyPresented"))
        made = await module.expect("a key", noted("KeyMade"), times=round_number)
        await unit.say("y" if presented["fingerprint"] == made["fingerprint"] else "n")
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
