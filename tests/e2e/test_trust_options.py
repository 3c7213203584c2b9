"""Trust options for which something is made at manufacture, from there to a module at work, by the commands."""

from __future__ import annotations

import re
from pathlib import Path

from command_processes import running
from commands import Estate, done, insitu, write_secret


def code_on(sheet: Path) -> str:
    (code,) = re.findall(r'<p class="code">(.*?)</p>', sheet.read_text("utf-8"))
    return code


def delivered(bank: Estate, *options: str) -> None:
    bank.store("module").unlink()
    bank.deliver("SM-90", "module", *options)


def personalized(bank: Estate, *options: str) -> None:
    """Twice: what was made at manufacture outlasts a reset."""
    with running(*bank.run_module("--requests", *options[:2])) as module:
        at = str(module.note("Ready")["at"])
        for _ in range(2):
            bank.approved("--module", "SM-90")
            notes = done(*bank.personalize(at, *options, serial="SM-90")).json
            assert notes[-1]["note"] == "Result"
            assert [note["peer"] for note in notes if note["note"] == "PeerProved"] == ["SM-90"]
            module.note("StateEntered", state="OPERATING")
            module.ask(reset="by hand")
            module.note("KeysErased")
        module.end()


def test_from_the_order_to_a_module_at_work(bank):
    write_secret(bank / "tickets.passphrase", "a passphrase that went another way")
    out, sent = bank.unsealed("tickets", "out", "out-"), bank.unsealed("tickets", "tickets", "tickets-")
    done("card", "tickets", *bank.unsealed("card"), "--count", "1", *bank.people(), *out)
    done("manufacturer", "take-tickets", *bank.unsealed("manufacturer"), *sent)
    delivered(bank, "--ticket", "First Bank")
    personalized(bank, "--trust", "ticket")
    log = bank / "log.jsonl"
    done("log", "export", *bank.unsealed("card"), "--out", log)
    assert log.read_text().count('"kind":"ticket"') == 1


def test_a_shipped_key_from_the_sheet(bank):
    sheet = bank / "sheet.html"
    delivered(bank, "--shipped-key-sheet", str(sheet))
    typed = write_secret(bank / "typed", code_on(sheet).lower().replace(" ", "-"))
    personalized(bank, "--trust", "shipped-key", "--shipped-key-file", str(typed))


def test_the_key_of_another_modules_sheet(bank):
    """Nothing is certified, and the approval is still there."""
    sheet, other = bank / "sheet.html", bank / "other.html"
    delivered(bank, "--shipped-key-sheet", str(sheet))
    bank.deliver("SM-91", "other", "--shipped-key-sheet", str(other))
    typed = write_secret(bank / "typed", code_on(other))
    bank.approved("--module", "SM-90")
    with running(*bank.run_module("--trust", "shipped-key")) as module:
        at = str(module.note("Ready")["at"])
        words = bank.personalize(at, "--trust", "shipped-key", "--shipped-key-file", str(typed), serial="SM-90")
        ran = insitu(*words)
        module.end()
    assert ran.code == 3
    assert "does not hold what shipped-key asks for" in ran.error
    assert len(done("card", "status", *bank.unsealed("card"), "--json").json[0]["jobs"]) == 1
