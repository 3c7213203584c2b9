from __future__ import annotations

import getpass
import os
import pty
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from insitu.protocol.engine import EnvironmentFault, UsageError
from insitu.shell.passphrase import LONGEST, from_command, from_file, from_terminal, passphrase

SECRET = b"correct horse battery staple"


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "passphrase"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    return path


def typing(*lines: str) -> Callable[[str], str]:
    """Somebody who types these lines."""
    rest = iter(lines)
    return lambda prompt: next(rest)


# Files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_ours(file, mode):
    file.chmod(mode)
    assert from_file(file).reveal() == SECRET


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"x", b"x"), (b"x\n", b"x"), (b"x\r\n", b"x"), (b"x\n\n", b"x\n"), (b" x ", b" x "), (b"\xff\0\n", b"\xff\0")],
)
def test_only_the_end_of_the_last_line_is_taken_off(file, content, expected):
    file.write_bytes(content)
    assert from_file(file).reveal() == expected


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o700, 0o200, 0o4600])
def test_a_file_that_others_may_read_or_odd_modes(file, mode):
    file.chmod(mode)
    with pytest.raises(UsageError, match="0600 or 0400") as caught:
        from_file(file)
    assert "horse" not in str(caught.value)


def test_a_link_is_not_followed(file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(file)
    with pytest.raises(UsageError, match="symbolic link"):
        from_file(link)


def test_a_file_of_somebody_else(file, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    with pytest.raises(UsageError, match="owner of file"):
        from_file(file)


def test_what_is_no_regular_file(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for path in (tmp_path, fifo):  # a fifo must not be waited for
        with pytest.raises(UsageError, match="regular file"):
            from_file(path)


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        from_file(tmp_path / "absent")


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_file(file, content):
    file.write_bytes(content)
    with pytest.raises(UsageError, match="got nothing"):
        from_file(file)


def test_the_longest(file):
    file.write_bytes(b"x" * LONGEST + b"\r\n")
    assert len(from_file(file).reveal()) == LONGEST
    file.write_bytes(b"x" * (LONGEST + 1))
    with pytest.raises(UsageError, match="got more"):
        from_file(file)


# Hook commands ------------------------------------------------------------------------------------------------


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_what_a_command_writes():
    assert from_command(python(f"print({SECRET.decode()!r})")).reveal() == SECRET


def test_no_shell_is_involved(tmp_path):
    assert from_command(["printf", "%s", "$(id) > x; *"]).reveal() == b"$(id) > x; *"


def test_it_gets_no_input():
    assert from_command(python("import sys; print(repr(sys.stdin.read()))")).reveal() == b"''"


def test_its_error_output_is_dropped(capfd):
    from_command(python("import sys; print('x'); print('complaint', file=sys.stderr)"))
    assert capfd.readouterr() == ("", "")


def test_a_command_that_fails_shows_nothing_of_what_it_wrote():
    with pytest.raises(EnvironmentFault, match="got exit code 3") as caught:
        from_command(python(f"print({SECRET.decode()!r}); raise SystemExit(3)"))
    error = caught.value
    assert "horse" not in f"{error!r}{error}{error.__dict__}"


def test_a_command_that_is_not_there():
    with pytest.raises(EnvironmentFault, match="hook command /no/such/program"):
        from_command(["/no/such/program", "argument"])


def test_no_command():
    with pytest.raises(UsageError, match="expected a program"):
        from_command([])


def test_a_command_that_writes_nothing():
    with pytest.raises(UsageError, match="got nothing"):
        from_command(["true"])


@pytest.mark.parametrize("then", ["wait", "exit 0"])
def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path, then):
    """Also a grandchild that holds the output open, alone or not; nothing of what was written shows."""
    beacon = tmp_path / "grandchild"
    program = f"echo {SECRET.decode()}; sleep 60 & echo $! > {beacon}; {then}"
    with pytest.raises(EnvironmentFault, match=r"within 0\.5 s, got no answer") as caught:
        from_command(["sh", "-c", program], seconds=0.5)
    error = caught.value
    assert "horse" not in f"{error.__cause__}{error.__context__}{error.__dict__}"
    while running(int(beacon.read_text())):  # a signal takes its time; without one this never ends
        os.sched_yield()


def running(pid: int) -> bool:
    """Whether the process lives; one that is dead but not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# People -------------------------------------------------------------------------------------------------------


def test_what_a_person_types():
    assert from_terminal("Passphrase: ", ask=typing("correct horse")).reveal() == b"correct horse"


def test_keyboards_do_not_matter():
    """Composed and decomposed characters are the same passphrase."""
    assert from_terminal("", ask=typing("caf\u00e9")) == from_terminal("", ask=typing("cafe\u0301"))
    assert from_terminal("", ask=typing("caf\u00e9")).reveal() == "caf\u00e9".encode()


def test_bytes_that_are_no_characters_stay_what_they_are():
    assert from_terminal("", ask=typing("x\udcff")).reveal() == b"x\xff"


def test_a_new_one_is_typed_twice():
    assert from_terminal("", twice=True, ask=typing("one", "one")).reveal() == b"one"
    with pytest.raises(UsageError, match="differ"):
        from_terminal("", twice=True, ask=typing("one", "two"))


def test_nothing_typed():
    with pytest.raises(UsageError, match="got nothing"):
        from_terminal("", ask=typing(""))


@pytest.mark.parametrize("error", [EOFError, OSError])
def test_nobody_there(error):
    def ask(_: str) -> str:
        raise error

    with pytest.raises(UsageError, match="no terminal"):
        from_terminal("", ask=ask)


def test_it_is_never_read_with_echo():
    def ask(_: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=1)
        return pytest.fail("read with echo")

    with pytest.raises(UsageError, match="no terminal"):
        from_terminal("", ask=ask)


def test_a_real_terminal_does_not_echo():
    program = (
        "from insitu.shell.passphrase import from_terminal\n"
        "secret = from_terminal('Passphrase: ', twice=True)\nprint('read', len(secret.reveal()))\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", program])
    shown = b""
    try:
        for prompt in (b"Passphrase: ", b"Once more: "):
            while not shown.endswith(prompt):
                shown += os.read(terminal, 1000)
            os.write(terminal, SECRET + b"\n")
        while b"read 28" not in shown:
            shown += os.read(terminal, 1000)
    finally:
        os.close(terminal)
        os.waitpid(child, 0)
    assert b"horse" not in shown


# Which one ----------------------------------------------------------------------------------------------------


def test_one_source_is_chosen(file, monkeypatch):
    monkeypatch.setattr("insitu.shell.passphrase.from_terminal", lambda prompt, *, twice: (prompt, twice))
    assert passphrase(file=file).reveal() == SECRET
    assert passphrase(command=["printf", "hook"]).reveal() == b"hook"
    assert passphrase(prompt="Who? ", new=True) == ("Who? ", True)
    with pytest.raises(UsageError, match="expected a file or a command, got both"):
        passphrase(file=file, command=["true"])
