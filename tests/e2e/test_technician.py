"""The technician's program at a terminal of its own: led through it, interrupted at every step, taken up again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from command_processes import PATIENCE, between, place, running, serial_line
from commands import PASSPHRASES, PINS, SERIAL, Estate, certificate, done, insitu, unchanged
from cryptography.hazmat.primitives.hashes import SHA256
from terminal import Terminal, at_a_terminal


def guided(bank: Estate, *options: str | Path) -> list[str]:
    return ["unit", "personalize", "--card", str(bank.store("card")), *map(str, options)]


def ready(bank: Estate, link: str, *options: str | Path) -> list[str]:
    """The same with everything in options that is no decision."""
    words = ["--link", link, "--serial", SERIAL, "--central", bank / "central.pem", *options]
    return guided(bank, "--passphrase-file", bank / "card.passphrase", *words)


def approve(terminal: Terminal, *people: str) -> None:
    for person in people:
        terminal.type(person, "Who approves? ")
        terminal.type(PINS[person], f"PIN of {person}: ")


def in_words(path: Path) -> str:
    """The fingerprint of a certificate, as the commands write it."""
    text = certificate(path).fingerprint(SHA256()).hex().upper()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


# Led through it ----------------------------------------------------------------------------------------------


def test_led_through_all_of_it(bank):
    """Slips at every question; what is shown, in which order; and what the module says is read back."""
    with running(*bank.run_module()) as module, at_a_terminal(*guided(bank, "--out", bank / "module.pem")) as terminal:
        terminal.type("tcp:nowhere", "or a link's address")
        terminal.read("expected tcp:HOST:PORT")
        terminal.type(place(module), "or a link's address")
        terminal.type("x" * 65, "in the order")
        terminal.type(SERIAL, "in the order")
        terminal.type(str(bank / "central.pem"), "system's certificate")
        terminal.type(PASSPHRASES["card"], "Passphrase of ")
        terminal.read("it waits to be personalized")
        terminal.read("a manufacturer who signs wrong keys")
        terminal.read("the salt is the card's")
        terminal.read("for 365 days, by the card of First Bank")
        terminal.read("no job is open; alice and bob may approve")
        terminal.read("has certified no key of this module yet")
        terminal.type("y", "Go on? [y/N]: ")
        terminal.read(f"module {SERIAL} for 365 days")
        terminal.type("mallory", "Who approves? (alice, bob)")
        terminal.read("nobody of that name approves here")
        terminal.type("alice", "Who approves? (alice, bob)")
        terminal.type("no PIN of hers", "PIN of alice: ")
        terminal.read("wrong PIN of alice, 4 tries left")
        approve(terminal, "alice")
        terminal.type("alice", "Who approves? (bob)")
        terminal.read("alice has approved")
        approve(terminal, "bob")
        terminal.read("approved by alice and bob, nothing is missing")
        made = module.note("KeyMade")["fingerprint"]
        terminal.read("its key is here, and the card certifies it")
        terminal.read(f"key {made}")
        terminal.read("the module has confirmed")
        terminal.read("it says: operating, epoch 0, certificate ")
        ran = terminal.wait()
        module.end()
    assert ran.code == 0, ran.out
    assert ran.out.splitlines()[-1] == f"module {SERIAL} is personalized: certificate {in_words(bank / 'module.pem')}"
    assert [line[0] for line in ran.out.splitlines() if line[1:3] == ". "] == list("12345678")
    assert "\x1b" not in ran.out


def test_over_a_cable_with_fingerprints_that_somebody_compares(bank):
    """Three sessions over one serial line: asked, personalized, read back (A1, K1)."""
    trust = ("--trust", "physical", "--declare-wired")
    with serial_line() as line, running(*bank.run_module(*trust, link=line.right)) as module:
        with at_a_terminal(*ready(bank, line.left, *trust)) as terminal:
            terminal.read("it waits to be personalized")
            terminal.read("somebody in the cable, if the person says yes without looking")
            approve(terminal, "bob", "alice")
            made = module.note("KeyMade")["fingerprint"]
            terminal.type("y", f"Does the module show {made}? [y/N]")
            terminal.read("it says: operating, epoch 0, certificate ")
            ran = terminal.wait()
        module.end()
    assert ran.code == 0, ran.out
    assert bank.status()["state"] == "operating"


def test_no_is_an_answer(bank):
    with running(*bank.run_module()) as module, unchanged(bank):
        words = ready(bank, place(module))
        at = words.index("--serial")
        with at_a_terminal(*words[:at], *words[at + 2 :]) as terminal:
            terminal.type(SERIAL, "in the order")
            terminal.type("n", "Go on? [y/N]: ")
            ran = terminal.wait()
        module.end()
    assert ran.code == 2
    assert "nothing was done" in ran.out


def test_a_module_that_has_gone_is_not_met_once_more(bank):
    """Its confirmation, by the new key, is what counts."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module("--once")) as module:
        with at_a_terminal(*ready(bank, place(module))) as terminal:
            ran = terminal.wait()
        assert module.wait().code == 0
    assert ran.code == 0
    assert "it was not met once more, and its confirmation counts" in ran.out
    assert bank.status()["state"] == "operating"


# Ctrl-C at every question ------------------------------------------------------------------------------------


def test_interrupted_at_every_question_before_anything_is_done(bank):
    """Nothing changes, nothing is left on, and it says so."""
    answers = [
        (None, "or a link's address"),
        (SERIAL, "in the order"),
        (str(bank / "central.pem"), "system's certificate"),
        (PASSPHRASES["card"], "Passphrase of "),
        ("y", "Go on? [y/N]: "),
    ]
    with running(*bank.run_module()) as module, unchanged(bank):
        answers[0] = (place(module), answers[0][1])
        for last in range(len(answers)):
            with at_a_terminal(*guided(bank)) as terminal:
                for text, question in answers[:last]:
                    terminal.type(text, question)
                terminal.read(answers[last][1])
                if last == 3:
                    terminal.until_unseen()
                ran = terminal.interrupt()
                assert terminal.echoes
            assert ran.code == 130, ran.out
            assert "insitu: interrupted" in ran.out.splitlines()[-1]
        assert ran.out.splitlines()[-1] == "insitu: interrupted; nothing was approved or signed"
        module.end()


@pytest.mark.parametrize("approved", [(), ("alice",)], ids=["nobody", "one"])
def test_interrupted_while_people_approve(bank, approved):
    """What somebody approved stays approved, and is said; the same command goes on with it."""
    with running(*bank.run_module()) as module:
        words = ready(bank, place(module))
        with at_a_terminal(*words) as terminal:
            approve(terminal, *approved)
            terminal.type("bob", "Who approves? ")
            terminal.read("PIN of bob: ")
            terminal.until_unseen()
            ran = terminal.interrupt()
            assert terminal.echoes
        assert ran.code == 130
        by = " and ".join(approved) or "nobody"
        assert f"interrupted; nothing was signed; job {open_job(bank)['job']}, approved by {by}" in ran.out
        assert "the same command goes on with it" in ran.out
        assert open_job(bank)["approvals"] == list(approved)
        with at_a_terminal(*words) as terminal:
            approve(terminal, *(person for person in PINS if person not in approved))
            assert terminal.wait().code == 0
        module.end()


def open_job(bank: Estate) -> dict[str, object]:
    (job,) = done("card", "status", *bank.unsealed("card"), "--json").json[0]["jobs"]
    assert isinstance(job, dict)
    return job


# Ctrl-C in the middle of the session -------------------------------------------------------------------------


class Held:
    """Somebody on the link who keeps back one piece of it until he is told.

    Attributes:
        came: it is there.
        over: go on.

    """

    def __init__(self, session: int, forth: bool, piece: int) -> None:
        self._meant = session, forth, piece
        self._sessions = 0
        self._pieces = {True: 0, False: 0}
        self.came = threading.Event()
        self.over = threading.Event()

    def tamper(self, forth: bool, passed: int, data: bytes) -> bytes | None:
        """What goes on."""
        if not forth and not passed:
            self._sessions += 1
            self._pieces = {True: 0, False: 0}
        now = self._sessions, forth, self._pieces[forth]
        self._pieces[forth] += 1
        if now == self._meant:
            self.came.set()
            self.over.wait(PATIENCE)
            return None
        return data


@contextmanager
def held(at: str, session: int, forth: bool, piece: int) -> Iterator[tuple[Held, str]]:
    """A link on which the numbered piece of the numbered session is held back, and its address."""
    somebody = Held(session, forth, piece)
    with between(at, somebody.tamper) as address:
        try:
            yield somebody, address
        finally:
            somebody.over.set()


MESSAGE_3, MODULE_KEY, CONFIRMATION = ((False, 1), (False, 2), (False, 3))
CERTIFICATES = (True, 2)


@pytest.mark.parametrize("piece", [MESSAGE_3, MODULE_KEY], ids=["before the channel stands", "before the key is there"])
def test_interrupted_before_anything_is_signed(bank, piece):
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        at = place(module)
        with unchanged(bank), held(at, 2, *piece) as (somebody, link), at_a_terminal(*ready(bank, link)) as terminal:
            assert somebody.came.wait(PATIENCE)
            terminal.read("Personalization")
            ran = terminal.interrupt()
        assert ran.code == 130
        assert "interrupted; nothing was signed; job " in ran.out
        assert "approved by alice and bob, nothing is missing, until " in ran.out
        module.note("SessionEnded")
        done(*bank.personalize(at))
        module.end()


def test_interrupted_while_the_certificates_are_on_their_way(bank):
    """They never arrive: the key is gone, and so is what was approved; the module says that it waits."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        at = place(module)
        with held(at, 2, *CERTIFICATES) as (somebody, link), at_a_terminal(*ready(bank, link)) as terminal:
            assert somebody.came.wait(PATIENCE)
            terminal.read("the certificates are on their way")
            ran = terminal.interrupt()
        assert ran.code == 130
        assert f"was made, and module {SERIAL} may have kept it: the same command asks the module" in ran.out
        module.note("SessionEnded")
        again = insitu(*bank.personalize(at))
        assert again.code == 5
        assert f"no job for {SERIAL}" in again.error
        assert "the card certified this module last " in again.error
        assert again.json[-1].items() >= {"note": "ModuleAsked", "serial": SERIAL, "state": "waiting"}.items()
        with at_a_terminal(*ready(bank, at)) as terminal:
            terminal.read("the card certified this module last ")
            approve(terminal, "bob", "alice")
            assert terminal.wait().code == 0
        module.end()
    assert bank.status()["state"] == "operating"


def test_interrupted_before_the_confirmation_came(bank):
    """The module keeps it, and the next attempt finds that out and writes the certificate."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        at = place(module)
        with held(at, 2, *CONFIRMATION) as (somebody, link), at_a_terminal(*ready(bank, link)) as terminal:
            assert somebody.came.wait(PATIENCE)
            terminal.read("the certificates are on their way")
            ran = terminal.interrupt()
        assert ran.code == 130
        assert "may have kept it" in ran.out
        module.note("SessionEnded")
        (again,) = done(*bank.personalize(at, "--out", str(bank / "module.pem"))).json
        module.end()
    assert again["certificate"] == in_words(bank / "module.pem"), "put together again from the log"
    assert again["note"] == "Result"
    assert again["certificate"] == bank.status()["certificate"] == again["read_back"]["certificate"]


def test_interrupted_as_it_is_read_back(bank):
    """It is done, and that is said."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        at = place(module)
        with held(at, 3, *MESSAGE_3) as (somebody, link), at_a_terminal(*ready(bank, link)) as terminal:
            assert somebody.came.wait(PATIENCE)
            ran = terminal.interrupt()
        module.end()
    assert ran.code == 130
    assert ran.out.splitlines()[-1].startswith(f"insitu: interrupted; module {SERIAL} is personalized, certificate ")
    assert bank.status()["state"] == "operating"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_is_told_where_things_stand(bank, number):
    """Without a terminal: the last line of JSON says how far it came, standard error the same in words."""
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        with (
            held(place(module), 1, *CERTIFICATES) as (somebody, link),
            running(*bank.personalize(link)) as unit,
        ):
            assert somebody.came.wait(PATIENCE)
            ran = unit.end(number)
        module.end()
    assert ran.code == 130
    last = ran.json[-1]
    assert last["note"] == "Unfinished"
    assert last["step"] == "certified"
    assert ran.error == f"interrupted; {last['next']}"
    assert last["certificate"] in last["next"]
