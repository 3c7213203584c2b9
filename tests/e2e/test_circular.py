"""A bank whose card no manufacturer certified, by the commands: over a cable only, and everything says what it is."""

from __future__ import annotations

import re

import pytest
from command_processes import running, serial_line
from commands import SERIAL, Estate, done, refused, unchanged

CABLE = ("--trust", "physical", "--declare-wired")
WORTH = "a plausibility check only"


def told(text: str) -> str:
    """The fingerprint of a key, as people tell it to each other."""
    (fingerprint,) = re.findall(r"our key ([0-9A-F ]{79})", text)
    return fingerprint


@pytest.fixture
def circle(bank: Estate) -> Estate:
    """A card and a central system that certify each other, in place of those that the manufacturer knows."""
    for party in ("card", "central", "module"):
        bank.store(party).unlink()
    (bank / "central.store.db").unlink()
    request, central = bank / "customer-request.pem", bank / "central-request.pem"
    for path in (request, central):
        path.unlink()
    theirs = told(
        done("card", "init", *bank.unsealed("card"), "--name", "Bank", *bank.people(), "--request", request).out
    )
    ours = told(done("central", "init", *bank.unsealed("central"), "--name", "Host", "--request", central).out)
    customer = bank / "circular.pem"
    certify = ["central", "certify-customer", *bank.unsealed("central"), "--request", request, "--out", customer]
    with unchanged(bank, "central.store.db"):
        refused(2, *certify, "--key", ours, says=("another key", theirs))
    assert WORTH in done(*certify, "--key", theirs).out
    install = ["card", "install-circular", *bank.unsealed("card"), "--customer", customer, "--central", central]
    with unchanged(bank):
        refused(2, *install, "--key", theirs, says=("another key", ours))
        refused(3, *install[:-3], bank / "customer.pem", *install[-2:], "--key", ours, says=("circular customer",))
    assert WORTH in done(*install, "--key", ours).out
    bank.approved("--central", str(central))
    done("central", "install", *bank.unsealed("central"), "--certificate", bank / "central.pem")
    return bank


def test_over_a_cable_by_policy(circle):
    circle.deliver("SM-90", "module", "--admit-circular")
    circle.approved("--module", "SM-90")
    with serial_line() as line, running(*circle.serve()) as host:
        at = str(host.note("Ready")["at"])
        with running(*circle.run_module(*CABLE, "--central", at, link=line.right)) as module:
            module.note("Ready")
            with running(*circle.personalize(line.left, *CABLE, serial="SM-90")) as unit:
                unit.line(lambda line: "Does the module show" in line, "question", "err")
                unit.write(b"y\n")
                result = unit.note("Result")
                assert unit.wait().code == 0
            assert result["circular"] is True
            module.note("StateEntered", state="OPERATING")
            said = module.note("CircleAdmitted")
            assert (said["customer"], said["central"]) == ("Bank", "Host")
            host.note("ModuleContacted", serial="SM-90")
            module.end()
        host.end()
    assert circle.status()["circular"] is True
    assert WORTH in done("module", "status", *circle.unsealed("module")).out
    assert WORTH in done("card", "status", *circle.unsealed("card")).out
    where = ["--store", circle.store("central")]
    (listed,) = done("central", "modules", *where, "--json").json
    assert listed["circular"] is True
    assert WORTH in done("central", "modules", *where).out
    assert f"1 circular ({WORTH})" in done("central", "status", *where).out
    assert WORTH in done("central", "audit", *where).out


def test_a_module_that_was_not_told_to_admit_it(circle):
    circle.deliver("SM-91")
    circle.approved("--module", "SM-91")
    with serial_line() as line, running(*circle.run_module(*CABLE, link=line.right)) as module:
        module.note("Ready")
        with running(*circle.personalize(line.left, *CABLE, serial="SM-91")) as unit:
            unit.line(lambda line: "Does the module show" in line, "question", "err")
            unit.write(b"y\n")
            assert unit.wait().code == 3
        module.end()
    assert circle.status()["state"] == "delivered"


def test_every_other_option_is_refused_before_a_link_opens(circle):
    circle.approved("--unit", "unit-1")
    circle.approved("--module", SERIAL)
    link = circle.personalize("tcp:127.0.0.1:9")
    refused(2, *link, says=("a circular certificate", "trust option physical"))
    with unchanged(circle):
        words = ["--listen", "tcp:127.0.0.1:0", "--central", circle / "central.pem"]
        refused(2, "unit", "serve", *circle.unsealed("card", "card"), *words, says=("a circular certificate",))


def test_the_sound_way_says_nothing_of_a_circle(bank):
    for party in ("module", "card"):
        (status,) = done(party, "status", *bank.unsealed(party), "--json").json
        assert status["circular"] is False
        assert WORTH not in done(party, "status", *bank.unsealed(party)).out
