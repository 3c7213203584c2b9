"""What docs/personalizing.md shows is what the technician's program shows, and its fields are those of its JSON."""

from __future__ import annotations

import re
from pathlib import Path

from command_processes import running
from commands import PASSPHRASES, PINS, SERIAL, Estate, done
from terminal import at_a_terminal

from insitu.shell.outlook import Step

TEXT = (Path(__file__).parents[2] / "docs" / "personalizing.md").read_text()


def shape(screen: str) -> list[str]:
    """Lines without what differs from run to run: ports, files, digests, times, what is longer than a line."""
    text = re.sub(r"[0-9A-F]{4}( [0-9A-F]{4})+( \.\.\.)?", "DIGEST", screen)
    text = re.sub(r"\b[0-9a-f]{32,64}\b", "NUMBER", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"(tcp|serial):[^\s,]*[^\s,:]", "LINK", text)
    text = re.sub(r"(leaves +a manufacturer who signs wrong keys).*", r"\1", text)
    text = re.sub(r"address.*", "address", text)
    text = re.sub(r"\S+\.(pem|insitu|store)\b", "FILE", text)
    lines = [line.rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not re.match(r"   (\d+  LINK|no serial port)", line)]


def test_what_a_terminal_shows(bank: Estate) -> None:
    found = re.search(r"<!-- at a terminal -->\n```text\n(.*?)```", TEXT, re.DOTALL)
    assert found
    with running(*bank.run_module()) as module:
        with at_a_terminal("unit", "personalize", "--card", bank.store("card")) as terminal:
            terminal.type(str(module.note("Ready")["at"]), "link's address")
            terminal.type(SERIAL, "in the order")
            terminal.type(str(bank / "central.pem"), "system's certificate")
            terminal.type(PASSPHRASES["card"], "Passphrase of ")
            terminal.type("y", "Go on?")
            for person in ("alice", "bob"):
                terminal.type(person, "Who approves?")
                terminal.type(PINS[person], f"PIN of {person}: ")
            ran = terminal.wait()
        module.end()
    assert ran.code == 0
    assert shape(ran.out) == shape(found[1])


def documented() -> dict[str, set[str]]:
    """The fields of each note; words in brackets are what they can be."""
    table = TEXT.partition("<!-- fields -->\n")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [re.sub(r" \([^)]*\)", "", row).split("|")[1:3] for row in table]
    return {re.findall(r"`(\w+)`", name)[0]: set(re.findall(r"`(\w+)`", fields)) for name, fields in rows}


def test_fields(bank: Estate) -> None:
    fields = documented()
    assert set(fields) == {"ModuleAsked", "Plan", "Approved", "Result", "Unfinished"}
    with running(*bank.run_module()) as module:
        at = str(module.note("Ready")["at"])
        notes = done(*bank.personalize(at, "--dry-run")).json
        notes += done(*bank.personalize(at, *bank.people())).json
        module.end()
    told = {note["note"]: set(note) - {"note", "party"} for note in notes}
    assert {name: told[name] for name in fields if name != "Unfinished"} == {
        name: names for name, names in fields.items() if name != "Unfinished"
    }


def test_every_step_is_explained() -> None:
    table = TEXT.partition("| step |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [step.value for step in Step]
