"""Trust options secret and tan by the commands, with module and unit in processes of their own (A6, A7)."""

from __future__ import annotations

import os
import re
import signal
import stat
import termios
import tty
from pathlib import Path

import pytest
from command_processes import place, running
from commands import SERIAL, Estate, done, insitu, refused, write_secret

BOOK = "opens the book 71"
SECRET = "correct horse battery"
CODE = re.compile(r'<p class="tan">([0-9A-Z ]+)</p>')


@pytest.fixture
def book(bank: Estate) -> list[str]:
    """The unit's book, and how the unit opens it."""
    words = ["--store", str(bank / "book"), "--passphrase-file", str(write_secret(bank / "book.pass", BOOK))]
    done("tan", "init", *words)
    return words


def for_unit(bank: Estate) -> list[str]:
    return ["--book", str(bank / "book"), "--book-passphrase-file", str(bank / "book.pass")]


def sheet(bank: Estate, book: list[str], name: str = "sheet.html") -> tuple[Path, str]:
    out = bank / name
    done("tan", "print", *book, "--serial", SERIAL, "--out", out)
    found = CODE.search(out.read_text())
    assert found
    return out, found[1]


@pytest.mark.parametrize("form", [("decimal", "16"), ("hexadecimal", "32"), ("base32", "16")], ids=" ".join)
def test_a_tan_from_its_issue_to_its_use(bank: Estate, book: list[str], form):
    done("tan", "issue", *book, "--serial", SERIAL, "--form", form[0], "--length", form[1])
    out, code = sheet(bank, book)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert code.replace(" ", "") not in (bank / "book").read_bytes().decode("latin-1")
    told = done("tan", "status", *book, "--json").json
    assert [(each["serial"], each["printed"]) for each in told] == [(SERIAL, True)]
    bank.approved("--module", SERIAL)
    typed = write_secret(bank / "tan", code)
    with running(*bank.run_module("--trust", "tan", "--tan-file", str(typed), "--once")) as module:
        ran = done(*bank.personalize(place(module), "--trust", "tan", *for_unit(bank)))
        assert module.wait().code == 0
    assert bank.status()["state"] == "operating"
    assert code[:4] + code[5:9] not in ran.out.replace(" ", "")
    assert done("tan", "status", *book).out == ""


def token(bank: Estate, prefix: str = "token-") -> list[str]:
    """The words that open the operator's token."""
    opened_by = write_secret(bank / "token.pass", "opens the token 58")
    return ["--token", str(bank / "token.insitu"), f"--{prefix}passphrase-file", str(opened_by)]


@pytest.mark.parametrize("form", [("key", "16"), ("base32", "32")], ids=" ".join)
def test_a_tan_that_nobody_sees(bank: Estate, book: list[str], form):
    """From the book into an operator's token, and from there to a module; the second time into the same token."""
    for round_number in (1, 2):
        done("tan", "issue", *book, "--serial", SERIAL, "--form", form[0], "--length", form[1])
        done("tan", "seal", *book, "--serial", SERIAL, *token(bank))
        refused(5, "tan", "seal", *book, "--serial", SERIAL, *token(bank), says=("given out",))
        bank.approved("--module", SERIAL)
        with running(*bank.run_module("--trust", "tan", *token(bank), "--once")) as module:
            done(*bank.personalize(place(module), "--trust", "tan", *for_unit(bank)))
            assert module.wait().code == 0
        assert bank.status()["epoch"] == round_number - 1
        assert done("tan", "status", *book).out == ""
        done("module", "reset", *bank.unsealed("module"), "--yes")


def test_a_token_that_is_not_the_one(bank: Estate, book: list[str]):
    run = bank.run_module("--trust", "tan", *token(bank))
    refused(2, *run, says=("no store",))
    done("tan", "issue", *book, "--serial", "SM-99", "--form", "key")
    done("tan", "seal", *book, "--serial", "SM-99", *token(bank))
    refused(2, *run, says=(f"a token with a TAN for {SERIAL}",))
    refused(2, *run, "--tan-file", str(bank / "tan"), says=("--token",))
    refused(2, *bank.run_module("--trust", "secret", *token(bank)), says=("--trust tan",))


def test_a_key_is_on_no_sheet(bank: Estate, book: list[str]):
    done("tan", "issue", *book, "--serial", SERIAL, "--form", "key")
    refused(5, "tan", "print", *book, "--serial", SERIAL, "--out", bank / "sheet.html", says=("is for a token",))
    assert not (bank / "sheet.html").exists()
    assert done("tan", "status", *book).out.endswith("not given out\n")


def test_a_token_is_not_made_for_nothing(bank: Estate, book: list[str]):
    refused(5, "tan", "seal", *book, "--serial", SERIAL, *token(bank), says=("no TAN",))
    assert not (bank / "token.insitu").exists()


def test_a_tan_by_a_pad_at_a_serial_port(bank: Estate, book: list[str]):
    """The operator presses a wrong key first, and corrects it."""
    done("tan", "issue", *book, "--serial", SERIAL)
    _, code = sheet(bank, book)
    bank.approved("--module", SERIAL)
    hand, device = os.openpty()
    tty.setraw(device)
    try:
        pad = f"serial:{os.ttyname(device)}"
        with running(*bank.run_module("--trust", "tan", "--keypad", pad, "--once")) as module:
            at = place(module)
            with running(*bank.personalize(at, "--trust", "tan", *for_unit(bank))) as unit:
                assert module.note("KeysAwaited")["peer"]
                os.write(hand, f"{code}9\b\r".encode())
                assert unit.wait().code == 0
            assert module.wait().code == 0
        assert code not in module.out
        os.write(device, b"|")
        assert os.read(hand, 100) == b"|", "an echo"
    finally:
        os.close(hand)
        os.close(device)
    assert bank.status()["state"] == "operating"
    refused(2, *bank.run_module("--trust", "tan", "--keypad", "tcp:127.0.0.1:1"), says=("--keypad serial:PATH",))


AT_A_TERMINAL = """
import os, sys
os.open(sys.argv.pop(1), os.O_RDWR)    # the first that a session opens becomes its own
from insitu.__main__ import main
main()
"""


def test_a_tan_at_the_terminal_of_the_module(bank: Estate, book: list[str]):
    """Key by key, unseen; a slip, then the TAN; and the terminal is left as it was."""
    done("tan", "issue", *book, "--serial", SERIAL)
    _, code = sheet(bank, book)
    bank.approved("--module", SERIAL)
    person, screen = os.openpty()
    before = termios.tcgetattr(screen)
    try:
        words = [os.ttyname(screen), *bank.run_module("--trust", "tan", "--once")]
        with running(*words, program=("-c", AT_A_TERMINAL)) as module:
            at = place(module)
            with running(*bank.personalize(at, "--trust", "tan", *for_unit(bank))) as unit:
                module.note("KeysAwaited")
                os.write(person, b"2718 2818\r")
                assert module.note("KeysRefused")["left"] == 2
                os.write(person, f"{code}\r".encode())
                assert unit.wait().code == 0
            assert module.wait().code == 0
        os.write(screen, b"|")
        assert os.read(person, 1000) == b"|", "an echo"
        assert termios.tcgetattr(screen) == before
    finally:
        os.close(person)
        os.close(screen)
    assert bank.status()["state"] == "operating"


def test_interrupted_while_the_operator_types(bank: Estate, book: list[str]):
    done("tan", "issue", *book, "--serial", SERIAL)
    bank.approved("--module", SERIAL)
    person, screen = os.openpty()
    before = termios.tcgetattr(screen)
    try:
        words = [os.ttyname(screen), *bank.run_module("--trust", "tan")]
        with (
            running(*words, program=("-c", AT_A_TERMINAL)) as module,
            running(*bank.personalize(place(module), "--trust", "tan", *for_unit(bank))),
        ):
            module.note("KeysAwaited")
            os.write(person, b"2718")
            assert module.end(signal.SIGINT).code == 130
        assert termios.tcgetattr(screen) == before
    finally:
        os.close(person)
        os.close(screen)
    assert len(done("tan", "status", *book, "--json").json) == 1


def test_nobody_is_at_the_module(bank: Estate, book: list[str]):
    """No terminal, no pad, no file: the session ends at once, and the TAN is not burnt."""
    done("tan", "issue", *book, "--serial", SERIAL)
    bank.approved("--module", SERIAL)
    with running(*bank.run_module("--trust", "tan")) as module:
        ran = insitu(*bank.personalize(place(module), "--trust", "tan", *for_unit(bank)))
        assert ran.code == 3
        assert "a terminal, --keypad, --token or --tan-file" in str(module.note("Error")["error"])
    assert [each["serial"] for each in done("tan", "status", *book, "--json").json] == [SERIAL]


def test_a_wrong_tan_is_burnt_and_counted(bank: Estate, book: list[str]):
    done("tan", "issue", *book, "--serial", SERIAL)
    _, code = sheet(bank, book)
    other = bank / "other"
    done("tan", "init", "--store", other, *book[2:])
    done("tan", "issue", "--store", other, *book[2:], "--serial", SERIAL)
    _, wrong = sheet(bank, ["--store", str(other), *book[2:]], "other.html")
    assert wrong != code
    bank.approved("--module", SERIAL)
    typed = write_secret(bank / "tan", wrong)
    with running(*bank.run_module("--trust", "tan", "--tan-file", str(typed))) as module:
        at = place(module)
        assert insitu(*bank.personalize(at, "--trust", "tan", *for_unit(bank))).code == 3
        assert done("tan", "status", *book, "--json").json == [{"serial": SERIAL, "wrong": 1}]
        ran = insitu(*bank.personalize(at, "--trust", "tan", *for_unit(bank)))
        assert ran.code == 5
        assert "no TAN" in ran.err
    assert (
        done("tan", "unlock", *book, "--serial", SERIAL).out
        == f"{SERIAL} is unlocked, 1 wrong attempts are forgotten\n"
    )


def test_a_secret_that_both_were_told(bank: Estate, book: list[str]):
    told = write_secret(bank / "secret", SECRET)
    done("module", "secret", *bank.unsealed("module"), "--secret-file", told)
    bank.approved("--module", SERIAL)
    with running(*bank.run_module("--trust", "secret", "--once")) as module:
        at = place(module)
        wrong = write_secret(bank / "wrong", "something else")
        ran = insitu(*bank.personalize(at, "--trust", "secret", "--secret-file", str(wrong), *for_unit(bank)))
        assert ran.code == 3
        ran = done(*bank.personalize(at, "--trust", "secret", "--secret-file", str(told), *for_unit(bank)))
        assert module.wait().code == 0
        assert SECRET not in ran.out + ran.err + module.out + module.err
    assert bank.status()["state"] == "operating"
    assert done("module", "unlock", *bank.unsealed("module")).out.endswith("0 wrong attempts are forgotten\n")
    refused(2, *bank.personalize(at, "--trust", "secret", "--secret-file", str(told)), says=("--book",))


def test_a_sheet_is_written_once_and_over_nothing(bank: Estate, book: list[str]):
    done("tan", "issue", *book, "--serial", SERIAL)
    taken = bank / "taken.html"
    taken.write_text("mine")
    refused(2, "tan", "print", *book, "--serial", SERIAL, "--out", str(taken), says=("a new file",))
    assert taken.read_text() == "mine"
    sheet(bank, book)
    again = bank / "again.html"
    refused(5, "tan", "print", *book, "--serial", SERIAL, "--out", str(again), says=("was printed",))
    assert not again.exists()
    done("tan", "revoke", *book, "--serial", SERIAL)
    refused(5, "tan", "revoke", *book, "--serial", SERIAL, says=("no TAN",))


@pytest.mark.parametrize("trust", ["tan", "secret"])
def test_at_a_unit_that_listens(bank: Estate, book: list[str], trust: str):
    """It learns in the handshake which module that is, and asks its book then; two people approve the key."""
    if trust == "tan":
        done("tan", "issue", *book, "--serial", SERIAL)
        told = ["--tan-file", str(write_secret(bank / "typed", sheet(bank, book)[1]))]
    else:
        file = ["--secret-file", str(write_secret(bank / "secret", SECRET))]
        done("tan", "secret", *book, "--serial", SERIAL, *file)
        done("module", "secret", *bank.unsealed("module"), *file)
        told = []
    done("unit", "allow", "--jobs", bank / "jobs.json", "--serial", SERIAL, "--days", "1")
    words = ["--listen", "tcp:127.0.0.1:0", "--central", str(bank / "central.pem"), "--jobs", str(bank / "jobs.json")]
    card = bank.unsealed("card", "card")
    with running("unit", "serve", *card, *words, "--trust", trust, *for_unit(bank), "--json") as unit:
        at = unit.note("Ready")["at"]
        call = ["module", "run", *bank.unsealed("module"), "--unit", at, "--trust", trust, *told, "--once", "--json"]
        with running(*call) as module:
            module.note("PeopleAwaited", party="module")
            (job,) = done("unit", "queue", *card, "--json").json
            done("unit", "approve", *card, *bank.people(), "--job", job["job"])
            assert module.wait().code == 0
        assert unit.end().code == 0
    assert bank.status()["state"] == "operating"
    assert done("tan", "status", *book, "--json").out == "", "a TAN is burnt, and no wrong attempt is left"
    for secret in (SECRET, (bank / "typed").read_text().strip() if trust == "tan" else SECRET):
        assert secret not in unit.out + unit.err + module.out + module.err
