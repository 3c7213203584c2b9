from __future__ import annotations

import sys
from pathlib import Path

import pytest

from insitu.protocol.engine import UsageError
from insitu.protocol.stores.counter import LARGEST_COUNT, CounterFailed, Guard, RolledBack
from insitu.shell.counter import CommandCounter

PROGRAM = """
import sys, pathlib
file, verb, *to = sys.argv[1:]
path = pathlib.Path(file)
with open(file + ".log", "a") as log:
    print(*sys.argv[2:], file=log)
if verb == "read":
    print(path.read_text())
else:
    path.write_text(to[0])
"""


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "count"
    path.write_text("3")
    return path


@pytest.fixture
def counter(file) -> CommandCounter:
    return CommandCounter([sys.executable, "-c", PROGRAM, str(file)])


def answering(text: str) -> CommandCounter:
    return CommandCounter([sys.executable, "-c", f"print({text!r}, end='')"])


def test_it_is_run_with_read_and_advance(counter, file):
    assert counter.read() == 3
    counter.advance(4)
    assert counter.read() == 4
    calls = Path(f"{file}.log").read_text().splitlines()
    assert calls == ["read", "read", "advance 4", "read", "read"]


def test_it_follows_a_store(counter, file):
    Guard(counter, 4).written(5)
    assert file.read_text() == "5"
    with pytest.raises(RolledBack):
        Guard(counter, 4)


def test_it_is_never_told_to_go_back_or_to_stay(counter, file):
    counter.advance(3)
    with pytest.raises(RolledBack):
        counter.advance(2)
    with pytest.raises(UsageError):
        counter.advance(LARGEST_COUNT + 1)
    assert "advance" not in Path(f"{file}.log").read_text()


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("12\n", 12), ("007\r\n", 7), (str(LARGEST_COUNT), LARGEST_COUNT)]
)
def test_answers_that_are_numbers(text, count):
    assert answering(text).read() == count


@pytest.mark.parametrize(
    "text", ["", "\n", "-1", "+1", "1.0", "0x10", "1 2", " 1", "1_0", "\u0663", "9" * 19, "9" * 20]
)
def test_answers_that_are_not_show_nothing_of_themselves(text):
    with pytest.raises(CounterFailed, match="got something else"):
        answering(text).read()


def test_a_command_that_only_says_that_it_did_it():
    with pytest.raises(CounterFailed, match=r"did not advance \(expected 4, got 3\)"):
        answering("3").advance(4)


def test_commands_that_fail():
    with pytest.raises(CounterFailed, match="exit code 7"):
        CommandCounter(["sh", "-c", "exit 7"]).read()
    with pytest.raises(CounterFailed, match="/no/such/program"):
        CommandCounter(["/no/such/program"]).read()
    with pytest.raises(CounterFailed, match=r"within 0\.3 s, got no answer"):
        CommandCounter(["sh", "-c", "echo 3; sleep 60"], seconds=0.3).read()
    with pytest.raises(UsageError, match="a program"):
        CommandCounter([])


def test_no_shell_is_involved(tmp_path):
    argument = f"$(touch {tmp_path}/made); *"
    counter = CommandCounter([sys.executable, "-c", "import sys; print(len(sys.argv[1]))", argument])
    assert counter.read() == len(argument)
    assert list(tmp_path.iterdir()) == []
