"""A controller runs where there is no POSIX, as far as a machine that has it can show.

A program of its own takes away, before insitu is loaded, what Windows lacks: modules, functions, flags and signals; it
puts in what Windows has instead, with its manners: `msvcrt` locks bytes of a file and its locks are mandatory, and a
file that is open is neither removed nor replaced. Libraries of others are loaded before, for the system that is there.
That every name exists on Windows is checked by mypy (scripts/windows.ini).
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from world import SERIAL, World

from insitu.protocol.stores.registry import CommandKind

WINDOWS = """
import builtins, errno, fcntl, os, pathlib, signal, struct, sys, types
import click, cbor2, cryptography.x509, transitions, trio, trio.to_thread
import concurrent.futures, getpass, logging, subprocess
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESCCM

# taken away
POSIX = set("fcntl termios tty pty grp pwd resource syslog curses crypt spwd posix readline".split())
real_import = builtins.__import__
def hiding(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if level == 0 and name.partition(".")[0] in POSIX and importer.partition(".")[0] in ("insitu", "__main__"):
        raise ImportError(f"{importer} wants {name}, which only POSIX has")
    return real_import(name, globals, locals, fromlist, level)
real = types.SimpleNamespace(open=os.open, close=os.close, replace=os.replace, unlink=os.unlink)
for name in (
    "O_NOFOLLOW O_DIRECTORY O_NONBLOCK O_CLOEXEC O_SYNC O_DSYNC fork geteuid getuid getgid getegid killpg setsid "
    "setuid chown fchmod fchown mkfifo openpty ttyname statvfs sync fdatasync pread pwrite getpgid uname major minor "
    "register_at_fork"
).split():
    delattr(os, name)
for name in "SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGPIPE SIGQUIT SIGCHLD alarm setitimer pause".split():
    delattr(signal, name)

# put in
os.O_BINARY = 0
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.LK_UNLCK = 2, 0
locked = []
def locking(file, mode, size):
    assert mode in (msvcrt.LK_NBLCK, msvcrt.LK_UNLCK)
    kind = fcntl.F_WRLCK if mode == msvcrt.LK_NBLCK else fcntl.F_UNLCK
    at = os.lseek(file, 0, os.SEEK_CUR)
    assert at > 0, "what is locked cannot be read by others on Windows"
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, at, size, 0))
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "locked") from None
    locked.append(file)
msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt
def refuse_open(path):
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.path.samefile(f"/proc/self/fd/{name}", path):
                raise PermissionError(errno.EACCES, "the file is open", str(path))
        except FileNotFoundError:
            pass
def replace(source, target, **options):
    refuse_open(source)
    refuse_open(target)
    real.replace(source, target, **options)
def unlink(path, **options):
    refuse_open(path)
    real.unlink(path, **options)
opened = []
def open_file(path, flags, mode=0o777, **options):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "directories are not opened on Windows", str(path))
    opened.append(str(path))
    return real.open(path, flags, mode, **options)
os.replace, os.unlink, os.remove, os.open = replace, unlink, unlink, open_file
builtins.__import__ = hiding
sys.platform = "win32"
"""


def on_windows(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", WINDOWS + textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("exec('import fcntl', {'__name__': 'insitu.x'})", "which only POSIX has"),
        ("os.geteuid()", "has no attribute 'geteuid'"),
        ("signal.SIGKILL", "has no attribute 'SIGKILL'"),
        ("os.open('/', os.O_RDONLY)", "directories are not opened"),
        ("f = open(sys.argv[1]); os.replace(sys.argv[1], sys.argv[1] + '2')", "the file is open"),
        ("f = open(sys.argv[1]); os.unlink(sys.argv[1])", "the file is open"),
        (
            "a, b = (os.open(sys.argv[1], os.O_RDWR) for _ in 'ab')\n"
            "for each in (a, b): os.lseek(each, 9, 0); msvcrt.locking(each, msvcrt.LK_NBLCK, 1)",
            "PermissionError: [Errno 13] locked",
        ),
    ],
)
def test_this_windows_refuses_what_windows_refuses(tmp_path: Path, program: str, says: str):
    file = tmp_path / "file"
    file.touch()
    assert says in on_windows(program, file).stderr


def test_everything_that_an_embedder_loads(tmp_path: Path):
    done = on_windows("import insitu.embed, insitu.embed.xfs, insitu.shell.passphrase; print(len(opened))")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "0", "")


def test_a_day_of_a_controller(world: World, host: str, store: dict[str, Any]):
    program = """
    import threading, time
    from pathlib import Path
    from insitu import InsituError
    from insitu.embed import Controller
    from insitu.transports.errors import Unsupported
    store, passphrase, host = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    came = threading.Event()
    made = dict(passphrase_file=passphrase, central=host, link="tcp:127.0.0.1:0")
    with Controller(store, on_instruction=lambda number, content: came.set(), **made) as module:
        while not module.status().online:
            time.sleep(0.02)
        answer = module.authorize("4111111111111111", "DE02100100109307118603", 5000, "EUR")
        module.settle(answer.number, 4000)
        print(answer.approved, answer.amount, module.send(b"from the till"))
        print(came.wait(20))
        try:
            Controller(store, **made).start()
        except InsituError as error:
            print(type(error).__name__)
    with Controller(store, **made) as module:
        print(module.reset_by_hand(), module.status().state.name)
    try:
        Controller(store, passphrase_file=passphrase, link="serial:COM1").start()
    except Unsupported as error:
        print(type(error).__name__)
    print(len(locked), all(not name.endswith(os.sep) for name in opened))
    """
    waiting = world.central.registry
    put = waiting.commit

    def and_instruct(*arguments: Any, **named: Any) -> None:
        put(*arguments, **named)
        if not waiting.commands(SERIAL):
            world.command(CommandKind.INSTRUCT, b"reload")

    waiting.commit = and_instruct  # type: ignore[method-assign]
    done = on_windows(program, store["store"], store["passphrase_file"], host)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True 5000 3", "True", "StoreLocked", "1 RESET", "Unsupported", "3 True"]
    assert world.central.registry.transaction(SERIAL, 1).paid == 4000  # type: ignore[union-attr]
    assert [each.payload for each in world.central.registry.deliveries()] == [b"from the till"]
