"""Whatever is wrong with ports, lines and the other side: one clear line, a documented exit code, state as before."""

from __future__ import annotations

import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
import trio
from command_processes import Process, between, peer, running, serial_line
from commands import SERIAL, Estate, insitu, refused, unchanged
from trio.testing import MockClock

DELIVERED = {"state": "delivered", "epoch": 0, "certificate": None}


@pytest.fixture
def approved(bank: Estate) -> Estate:
    """The job for the module stands."""
    bank.approved("--module", SERIAL)
    return bank


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time in this process jump once nothing has happened for some (real) seconds."""
    return lambda seconds: monkeypatch.setattr(
        trio, "run", partial(trio.run, clock=MockClock(autojump_threshold=seconds))
    )


def failed(code: int, *words: str, says: tuple[str, ...] = ()) -> str:
    """A session that must fail: notes on standard output are JSON, one line on standard error tells why."""
    ran = insitu(*words)
    assert ran.code == code, (ran.out, ran.err)
    assert all("note" in note for note in ran.json)
    for text in says:
        assert text in ran.error
    return ran.error


def where(module: Process) -> str:
    return module.note("Ready")["at"]


def connect(address: str) -> socket.socket:
    host, _, port = address.removeprefix("tcp:").rpartition(":")
    return socket.create_connection((host, int(port)), 10)


# Addresses and ports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "code", "says"),
    [
        ("serial:/dev/ttyNOPE0", 4, ("serial /dev/ttyNOPE0: no such port",)),
        ("serial:/dev/null", 4, ("serial /dev/null: not a serial port", "9600 baud")),
        ("tcp:127.0.0.1:1", 4, ("tcp 127.0.0.1:1: nobody listens there",)),
        ("tcp:127.0.0.1", 2, ("expected tcp:HOST:PORT", "got 'tcp:127.0.0.1'")),
        ("tcp:127.0.0.1:65536", 2, ("0 to 65535",)),
        ("serial:/dev/ttyS0?baud=0", 2, ("N above 0",)),
        ("pigeon:coop", 2, ("expected tcp:HOST:PORT, serial:PATH",)),
        ("memory:", 2, ("expected a link between programs",)),
        ("serial:socket://127.0.0.1:1", 4, ("serial socket://127.0.0.1:1: nobody listens there",)),
        ("serial:spy:///dev/ttyS0", 2, ("expected serial:socket://HOST:PORT",)),
        ("device:/dev/nope", 4, ("device /dev/nope: no such device",)),
        ("device:/dev/null", 4, ("device /dev/null: a device that is always ready",)),
        ("bluetooth:00:11:22:33:44:55/31", 2, ("a channel of 1 to 30",)),
        ("tls:127.0.0.1:1", 2, ("expected ca=FILE&certificate=FILE&key=FILE",)),
        ("tls:127.0.0.1:1?ca=no&certificate=no&key=no", 2, ("key file no", "No such file")),
    ],
)
def test_a_link_that_cannot_be(approved, link, code, says):
    with unchanged(approved):
        refused(code, *approved.personalize(link), says=says)


@pytest.mark.parametrize(
    "link",
    [
        "tcp:127.0.0.1:0",
        "tls:127.0.0.1:0?ca=a&certificate=b&key=c",
        "serial:socket://127.0.0.1:1?baud=9600",
        "serial:rfc2217://127.0.0.1:1?baud=9600",
    ],
)
@pytest.mark.parametrize("side", ["unit", "module"])
def test_the_physical_option_never_over_a_network(approved, side, link):
    words = approved.personalize(link) if side == "unit" else approved.run_module(link=link)
    with unchanged(approved):
        refused(2, *words, "--trust", "physical", says=("wired local link only", f"got {link}"))
        refused(2, *words, "--declare-wired", says=("a network is never a wired local port",))


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("bluetooth:AA:BB:CC:DD:EE:FF/1", "Bluetooth is never a wired local port"),
        ("device:/dev/ircomm0?baud=9600", "infrared is never a wired local port"),
    ],
)
def test_the_physical_option_never_through_the_air(approved, link, says):
    with unchanged(approved):
        words = approved.personalize(link)
        refused(2, *words, "--trust", "physical", says=("wired local link only", f"got {link}"))
        refused(2, *words, "--declare-wired", says=(says,))


def test_numeric_comparison_is_declared_for_bluetooth_only(approved, monkeypatch):
    monkeypatch.delattr(socket, "AF_BLUETOOTH", raising=False)
    with unchanged(approved):
        for words in (approved.personalize, lambda link: approved.run_module(link=link)):
            refused(2, *words("tcp:127.0.0.1:0"), "--declare-numeric-comparison", says=("is for Bluetooth",))
            refused(
                4, *words("bluetooth:AA:BB:CC:DD:EE:FF/1"), "--declare-numeric-comparison", says=("without Bluetooth",)
            )


def test_the_physical_option_wants_a_declaration_for_an_unusual_port(approved):
    with unchanged(approved), serial_line() as line, running(*approved.run_module(link=line.right)) as module:
        where(module)
        failed(2, *approved.personalize(line.left, "--trust", "physical"), says=("a cable declared as such",))


@pytest.mark.parametrize("program", ["module", "central"])
def test_a_port_that_is_taken(bank, program):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        words = bank.run_module(link=place) if program == "module" else bank.serve("--listen", place)
        with unchanged(bank):
            refused(4, *words, says=(place.replace(":", " ", 1), "another program listens there already"))


def test_a_module_without_identity_knows_the_physical_option_only(bank):
    bank.store("module").unlink()
    bank.deliver("SM-78", "module", "--no-identity")
    with unchanged(bank):
        refused(2, *bank.run_module(), says=("this module has no identity", "expected --trust physical"))


# Lines -------------------------------------------------------------------------------------------------------


def test_nobody_at_the_line(approved, hasty):
    hasty(0.01)
    with unchanged(approved), serial_line() as line:
        said = ("serial link: no session within 10 s", "an answer to the attention frame")
        refused(4, *approved.personalize(line.left), says=said)


@pytest.mark.parametrize("after", ["MessageSent", "KeyMade"])
def test_the_line_is_unplugged(approved, after):
    """In the handshake, and with a key pair made; both ends notice, and nothing has happened."""
    with serial_line() as line, running(*approved.run_module(link=line.right)) as module:
        where(module)
        with running(*approved.personalize(line.left)) as unit:
            module.note(after)
            line.cut()
            at_unit, at_module = unit.wait(), module.wait()
    assert (at_unit.code, at_unit.error.split(" (")[0]) == (3, "unit: link lost")
    assert (at_module.code, at_module.error[:26]) == (4, "serial link: the line was ")
    assert approved.status().items() >= DELIVERED.items()


def test_the_line_is_unplugged_at_rest(bank):
    with unchanged(bank), serial_line() as line, running(*bank.run_module(link=line.right)) as module:
        where(module)
        line.cut()
        ran = module.wait()
    assert (ran.code, ran.error[:26]) == (4, "serial link: the line was ")


# The other side, seen from the unit --------------------------------------------------------------------------


def nonsense(data: bytes) -> Callable[[socket.socket], None]:
    """Somebody who says this and waits until the other goes."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(data)
        while connection.recv(4096):
            pass

    return behave


def frame(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(frame(b""), "empty frame", id="an empty frame"),
        pytest.param(frame(bytes(10_000)), "codec", id="zeros"),
        pytest.param(frame(bytes(60_000)), "frame too long", id="too many zeros"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "frame too long", id="another protocol"),
        pytest.param(frame(b"\xff" * 100), "", id="no CBOR"),
        pytest.param(frame(b"\x18\x64"), "", id="another message"),
        pytest.param(frame(bytes.fromhex("c4821a000f423f01")), "", id="a number that takes for ever"),
    ],
)
def test_a_peer_that_speaks_nonsense(approved, data, says):
    with unchanged(approved), peer(nonsense(data)) as address:
        failed(3, *approved.personalize(address), says=(says,))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x40abc"])
def test_a_peer_that_hangs_up(approved, data):
    with unchanged(approved), peer(lambda connection: connection.sendall(data)) as address:
        failed(3, *approved.personalize(address), says=("unit: link lost",))


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x40abc"])
def test_a_peer_that_never_answers(approved, hasty, data):
    hasty(0.05)
    with unchanged(approved), peer(nonsense(data)) as address:
        failed(3, *approved.personalize(address), says=("unit: no answer in time", "expected handshake"))


def stall(forth: bool, after: int) -> Callable[[bool, int, bytes], bytes]:
    """Takes everything and hands on nothing, once so many bytes have gone that way."""
    return lambda way, passed, data: data if way != forth else data[: max(0, after - passed)]


def close(forth: bool, after: int) -> Callable[[bool, int, bytes], bytes | None]:
    """Hangs up at this byte."""
    return lambda way, passed, data: None if way == forth and passed + len(data) >= after else data


def flip(forth: bool, after: int) -> Callable[[bool, int, bytes], bytes]:
    """Damages this byte."""

    def damaged(way: bool, passed: int, data: bytes) -> bytes:
        at = after - passed
        if way != forth or not 0 <= at < len(data):
            return data
        return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]

    return damaged


@pytest.mark.parametrize(("forth", "after"), [(False, 20), (False, 300), (False, 560), (True, 400), (True, 900)])
@pytest.mark.parametrize("tamper", [stall, close, flip])
def test_a_peer_that_stops_half_way(delivered, approved, hasty, tamper, forth, after):
    """Before the module has its certificates, whoever stops or spoils what: it stays as it was delivered."""
    if tamper is stall:
        hasty(0.3)
    with between(delivered, tamper(forth, after)) as address:
        failed(3, *approved.personalize(address))


@pytest.fixture(scope="module")
def delivered(_bank: Estate, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A module that waits for the bank's unit. Whatever the tests here do to it, it can be personalized at the end."""
    bank = _bank.copy(tmp_path_factory.mktemp("delivered") / "bank")
    bank.approved("--module", SERIAL)
    with running(*bank.run_module()) as module:
        address = where(module)
        yield address
        assert insitu(*bank.personalize(address)).code == 0
        assert module.end().code == 0
    assert bank.status()["state"] == "operating"


def test_a_lost_confirmation_is_recognised_and_not_repeated(approved):
    """The module operates, the unit does not know; the next contact tells, and changes nothing."""
    with running(*approved.run_module()) as module:
        address = where(module)
        with between(address, close(False, 650)) as cut:
            failed(3, *approved.personalize(cut), says=("unit: link lost",))
        module.note("StateEntered", state="OPERATING")
        approved.approved("--module", SERIAL)
        with unchanged(approved):
            line = failed(5, *approved.personalize(address), says=("got operating, epoch 0, certificate ",))
        module.end()
    assert approved.status()["certificate"] in line


@pytest.mark.parametrize(
    ("whose", "code", "says"),
    [("unit of another bank", 3, "the other side refused"), ("another serial number", 3, "expected SM-78, got SM-77")],
)
def test_a_peer_that_is_not_the_right_one(delivered, bank, stranger, whose, code, says):
    if whose == "unit of another bank":
        stranger.approved("--module", SERIAL)
        words = stranger.personalize(delivered)
    else:
        bank.approved("--module", "SM-78")
        words = bank.personalize(delivered, serial="SM-78")
    with unchanged(bank), unchanged(stranger):
        failed(code, *words, says=(says,))


def test_a_module_of_another_manufacturer(approved, stranger):
    with running(*stranger.run_module()) as module, unchanged(approved), unchanged(stranger):
        failed(3, *approved.personalize(where(module)))


def test_a_unit_whose_certificate_is_out_of_date(delivered, approved, later):
    request = str(approved / "central-request.pem")
    approved.approved("--central", request, "--days", "800")
    later(400 * 24 * 3600)
    approved.approved("--module", SERIAL)
    with unchanged(approved):
        failed(3, *approved.personalize(delivered), says=("unit certificate", "not valid at that time"))


def test_two_options_never_meet(approved):
    """Pinned on both sides before the link opens (S13)."""
    with serial_line() as line, running(*approved.run_module(link=line.right)) as module, unchanged(approved):
        where(module)
        failed(3, *approved.personalize(line.left, "--trust", "physical", "--declare-wired"))
        module.end()


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"", signal.SIGINT])
def test_fingerprints_that_nobody_found_equal(approved, answer):
    """No, nothing, nobody there, or Ctrl-C at the question: nothing is signed, and the approvals still stand (A1)."""
    trust = ("--trust", "physical", "--declare-wired")
    with unchanged(approved), serial_line() as line, running(*approved.run_module(*trust, link=line.right)) as module:
        where(module)
        with running(*approved.personalize(line.left, *trust)) as unit:
            unit.line(lambda line: "Does the module show" in line, "question", "err")
            if isinstance(answer, signal.Signals):
                ran = unit.end(answer)
            else:
                unit.write(answer)
                unit.close_input()
                ran = unit.wait()
        module.note("SessionEnded")
        module.end()
    assert ran.code == (130 if answer is signal.SIGINT else 5)
    assert len(ran.err.splitlines()) == 2


# The other side, seen from module and central system ----------------------------------------------------------

NONSENSE = [b"", b"\x00\x00", b"\x00\x40abc", frame(b"\xff" * 100), frame(bytes(60_000)), b"GET / HTTP/1.1\r\n\r\n"]


@pytest.mark.parametrize("program", ["module", "central"])
def test_programs_go_on_after_peers_that_speak_nonsense(bank, program):
    with unchanged(bank), running(*(bank.run_module() if program == "module" else bank.serve())) as process:
        address = where(process)
        for data in NONSENSE:
            with connect(address) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass
            assert process.note("Error")["error"]
        ran = process.end()
    assert (ran.code, ran.err) == (0, "")


LINES = [
    b"nonsense",
    b"\xff\xfe",
    b"[" * 3000,
    b'{"reset": "by hand"' + b" " * 5000 + b"}",
    b'{"authorize": {"number": 1, "card": 4000001234567899}}',
    b'{"authorize": {"4000001234567899": 1}}',
    b'{"authorize": {"number": 1, "card": "1", "account": "", "amount": -1, "currency": "4000001234567899"}}',
    b'{"authorize": {"number": 1, "card": "4000001234567899", "account": "DE1", "amount": 1, "currency": "EUR"}}',
    b'{"authorize": {"card": "4000001234567899", "account": "DE1", "amount": 9223372036854775808, "currency": "EUR"}}',
    b'{"authorize": {"card": "4000001234567899", "account": "DE1", "amount": true, "currency": "EUR"}}',
    b'{"authorize": {"card": "4000001234567899", "account": "DE\\u0000", "amount": 1, "currency": "EUR"}}',
    b'{"settle": {"number": 9223372036854775808, "paid": 1}}',
    b'{"reset": "SM-77"}',
    b'{"reset": "by hand"}',
    b'{"reset": 1, "authorize": {}}',
]


@pytest.mark.parametrize("program", ["module", "central"])
def test_requests_that_are_none_are_refused_and_not_repeated(bank, program):
    """No card number comes back (S9; `Process` looks for it), and the program goes on."""
    words = bank.run_module("--requests") if program == "module" else bank.serve()
    with unchanged(bank), running(*words) as process:
        where(process)
        for line in LINES:
            process.write(line + b"\n")
            assert process.note("Error")["error"]
        ran = process.end()
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.json) == 1 + len(LINES)


@contextmanager
def small_files() -> Iterator[None]:
    """A disk that is full, for processes that begin now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_modules_disk_is_full(approved):
    """It cannot keep what it was given: then it does not operate, and says why."""
    before = approved.store("module").read_bytes()
    with ExitStack() as stack:
        with small_files():
            module = stack.enter_context(running(*approved.run_module()))
        failed(3, *approved.personalize(where(module)), says=("unit: link lost",))
        assert "File too large" in module.note("Error")["error"]
        assert module.end().code == 0
    assert approved.store("module").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("program", ["module", "central", "unit"])
def test_interrupted(approved, program, number):
    """Ctrl-C is 130; SIGTERM is the good end of what runs on. No traceback either way."""
    called = threading.Event()

    def behave(connection: socket.socket) -> None:
        called.set()
        connection.recv(1)

    with unchanged(approved), peer(behave) as silent:
        words = {"module": approved.run_module(), "central": approved.serve(), "unit": approved.personalize(silent)}
        with running(*words[program]) as process:
            if program == "unit":
                assert called.wait(10)
            else:
                where(process)
            ran = process.end(number)
    assert ran.code == (0 if number == signal.SIGTERM and program != "unit" else 130)
