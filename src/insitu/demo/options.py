"""What a trust option adds to the story over TCP or a serial line: words of commands, and what people do for it.

The story itself (separate.py) is the same for all of them.
"""

from __future__ import annotations

from . import stage as names
from .processes import call
from .report import Report
from .stage import Stage


def unsealed(stage: Stage, party: str, option: str = "store", prefix: str = "") -> tuple[str, ...]:
    """The words that open a party's sealed file."""
    return f"--{option}", str(stage.store(party)), f"--{prefix}passphrase-file", str(stage.passphrase(party))


def people(stage: Stage) -> list[str]:
    """The words that say who approves."""
    words: list[str] = []
    for person in names.PEOPLE:
        words += ("--person", person, "--pin-file", f"{person}={stage.pin(person)}")
    return words


def for_module(stage: Stage, trust: str) -> tuple[str, ...]:
    """Words of `module run`."""
    return ("--trust", trust, *_declared(trust), *(("--tan-file", str(stage.tan)) if trust == "tan" else ()))


def for_unit(stage: Stage, trust: str) -> tuple[str, ...]:
    """Words of `unit personalize`."""
    more: tuple[str, ...] = ()
    if trust == "shipped-key":
        more = ("--shipped-key-file", str(stage.shipped_key))
    elif trust in ("secret", "tan"):
        more = unsealed(stage, "book", "book", "book-")
    if trust == "secret":
        more = (*more, "--secret-file", str(stage.agreed))
    return "--trust", trust, *_declared(trust), *more


def _declared(trust: str) -> tuple[str, ...]:
    return ("--declare-wired",) if trust == "physical" else ()


async def deliver(stage: Stage, report: Report) -> None:
    """The module gets its serial number, root and identity, and what the trust option asks for (L1)."""
    maker, module = unsealed(stage, "manufacturer"), unsealed(stage, "module", "module", "module-")
    more: tuple[str, ...] = ()
    if report.trust == "ticket":
        await _order_tickets(stage, report)
        more = ("--ticket", names.CUSTOMER)
    elif report.trust == "shipped-key":
        more = ("--shipped-key-sheet", str(stage.sheet))
    words = ("manufacturer", "initialize-module", *maker, *module, "--serial", names.SERIAL, *more)
    await call(report, "manufacturer", *words)
    if report.trust == "shipped-key":
        stage.type_shipped_key()
    elif report.trust == "secret":
        secret = ("--secret-file", str(stage.agreed))
        await call(report, "module", "module", "secret", *unsealed(stage, "module"), *secret)
    if report.trust in ("secret", "tan"):
        await call(report, "unit", "tan", "init", *unsealed(stage, "book"))


async def _order_tickets(stage: Stage, report: Report) -> None:
    out, sent = unsealed(stage, "tickets", "out", "out-"), unsealed(stage, "tickets", "tickets", "tickets-")
    order = (*unsealed(stage, "card"), "--count", "1", *people(stage), *out)
    await call(report, " and ".join(names.PEOPLE), "card", "tickets", *order)
    maker = unsealed(stage, "manufacturer")
    await call(report, "manufacturer", "manufacturer", "take-tickets", *maker, *sent)


async def before_meeting(stage: Stage, report: Report) -> None:
    """What is done for each personalization: a TAN is issued, and the operator at the module opens the envelope."""
    if report.trust != "tan":
        return
    book, serial = unsealed(stage, "book"), ("--serial", names.SERIAL)
    await call(report, "unit", "tan", "issue", *book, *serial, "--days", "1")
    await call(report, "unit", "tan", "print", *book, *serial, "--out", str(stage.sheet))
    stage.type_tan()
