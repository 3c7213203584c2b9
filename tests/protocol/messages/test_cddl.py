from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cddl_validator import Cddl

from insitu.protocol.messages import MESSAGES, Intent
from insitu.protocol.messages.cddl import specification


def test_the_committed_file_is_what_the_docstrings_say(repository: Path) -> None:
    committed = (repository / "specs" / "messages.cddl").read_text()
    assert committed == specification(), "renew it: python -m insitu.protocol.messages.cddl > specs/messages.cddl"


def test_the_command_prints_it() -> None:
    command = [sys.executable, "-m", "insitu.protocol.messages.cddl"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == specification()


def test_every_class_has_its_rule_and_the_first_is_message() -> None:
    rules = Cddl(specification())
    assert rules.start == "Message"
    assert {cls.__name__ for cls in (*MESSAGES, Intent)} <= set(rules.rules)


def test_blocks_end_where_the_indentation_ends() -> None:
    assert "Attributes" not in specification()
    assert '"""' not in specification()
    assert "\n\n\n" not in specification()
    assert specification().endswith("}\n")


def test_cuts_keep_known_keys_strict_when_a_later_version_adds_a_wildcard(cddl: Cddl) -> None:
    extended = specification().replace("  0: 21,\n  1: epoch,\n", "  0: 21,\n  1: epoch,\n  * any => any,\n")
    later = Cddl(extended)
    assert later.matches({0: 21, 1: 5, 9: "new"}, "ResetDone")
    assert not later.matches({0: 21, 1: "x"}, "ResetDone")
    assert not cddl.matches({0: 21, 1: 5, 9: "new"}, "ResetDone")
