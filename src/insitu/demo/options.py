"""What a trust option adds to the story over TCP or a serial line: words of commands, and what people do for it.

The story itself (separate.py) is the same for all of them.
"""

from __future__ import annotations

from ..protocol.channel.trust.calling import by_key
from ..protocol.keys.certificates import Role, trusted_root, verify_issued
from ..protocol.keys.requests import read_request
from ..shell import pem
from ..shell.telling import key_fingerprint
from . import stage as names
from .processes import Program, call, noted
from .report import Report
from .stage import Stage


def unsealed(stage: Stage, party: str, option: str = "store", prefix: str = "") -> tuple[str, ...]:
    """The words that open a party's store; the URI of a token says where its PIN is."""
    where = (f"--{option}", stage.store(party))
    if stage.token and party == "card":
        return where
    return *where, f"--{prefix}passphrase-file", str(stage.passphrase(party))


def people(stage: Stage) -> list[str]:
    """The words that say who approves."""
    words: list[str] = []
    for person in names.PEOPLE:
        words += ("--person", person, "--pin-file", f"{person}={stage.pin(person)}")
    return words


def for_module(stage: Stage, trust: str, local: str) -> tuple[str, ...]:
    """Words of `module run`; `local`: the module's end of the local link, if a mobile comes."""
    more: tuple[str, ...] = ()
    if trust == "tan":
        more = ("--tan-file", str(stage.tan))
    elif trust == "conveyed":
        more = ("--mobile", local)
    return "--trust", trust, *_declared(trust), *more


def for_unit(stage: Stage, trust: str) -> tuple[str, ...]:
    """Words of `unit personalize`."""
    more: tuple[str, ...] = ()
    if trust == "shipped-key":
        more = ("--shipped-key-file", str(stage.shipped_key))
    elif trust in ("secret", "tan"):
        more = unsealed(stage, "book", "book", "book-")
    elif trust == "conveyed":
        more = ("--mobiles", str(stage.mobiles), "--calls", "tcp:127.0.0.1:0")
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
    elif report.trust == "conveyed":
        request = stage.pem("mobile-request")
        own = (*unsealed(stage, "mobile"), "--name", names.MOBILE, "--request", str(request))
        await call(report, "mobile", "mobile", "init", *own)
        stage.believe(by_key(read_request(pem.read_request(request)).public))
    if report.trust in ("secret", "tan"):
        await call(report, "unit", "tan", "init", *unsealed(stage, "book"))


async def _order_tickets(stage: Stage, report: Report) -> None:
    out, sent = unsealed(stage, "tickets", "out", "out-"), unsealed(stage, "tickets", "tickets", "tickets-")
    order = (*unsealed(stage, "card"), "--count", "1", *people(stage), *out)
    await call(report, " and ".join(names.PEOPLE), "card", "tickets", *order)
    maker = unsealed(stage, "manufacturer")
    await call(report, "manufacturer", "manufacturer", "take-tickets", *maker, *sent)


async def while_meeting(stage: Stage, report: Report, module: Program, unit: Program, local: str) -> None:
    """What is done while module and unit have met: a person brings the mobile; or compares what the two show.

    Args:
        stage: the files.
        report: the story.
        module: says by its notes where it waits for a mobile, and what it shows.
        unit: likewise.
        local: the mobile's end of the local link; empty: where the module says that it waits for it.

    """
    if report.trust == "conveyed":
        near = local or str((await module.expect("a local port", noted("MobilesMayCome")))["at"])
        far = str((await unit.expect("a port for mobiles", noted("MobilesMayCome")))["at"])
        own = (*unsealed(stage, "mobile"), "--unit-key", _unit_key(stage), "--wait", "20")
        words = ("mobile", "convey", "--serial", names.SERIAL, "--module", near, "--unit", far, *own)
        await Program(report, "mobile", *words).run()
    elif report.trust == "physical":
        presented = await unit.expect("a key", noted("KeyPresented"))
        made = await module.expect("a key", noted("KeyMade"), times=len(report.fingerprints["module"]))
        await unit.say("y" if presented["fingerprint"] == made["fingerprint"] else "n")


def _unit_key(stage: Stage) -> str:
    """The fingerprint of the unit's key, as its people tell it to the person with the mobile."""
    root, customer, unit = (pem.read_certificate(stage.pem(name)) for name in ("manufacturer", "customer", "unit"))
    issuer = verify_issued(customer, trusted_root(root), Role.CUSTOMER, now=None)
    return key_fingerprint(verify_issued(unit, issuer, Role.UNIT, now=None).public)


async def before_meeting(stage: Stage, report: Report) -> None:
    """What is done for each personalization: a TAN is issued, and the operator at the module opens the envelope."""
    if report.trust != "tan":
        return
    book, serial = unsealed(stage, "book"), ("--serial", names.SERIAL)
    await call(report, "unit", "tan", "issue", *book, *serial, "--days", "1")
    await call(report, "unit", "tan", "print", *book, *serial, "--out", str(stage.sheet))
    stage.type_tan()
