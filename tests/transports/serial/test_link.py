"""The link as a trio stream, over memory and emulated lines. The clock always jumps."""

from random import Random

import pytest
import trio
from trio.testing import MockClock, check_half_closeable_stream

from insitu.transports.errors import LinkBroken, NoAnswer
from insitu.transports.faulty import Faults, relay
from insitu.transports.memory import memory_pair
from insitu.transports.serial.arq import INBOX, Timing
from insitu.transports.serial.link import SerialLink, SerialListener
from insitu.transports.tap import Tap

TEXT = Random(3).randbytes(6000)
WORST = Faults(bit_errors=1e-3, losses=1e-3, doubles=1e-3, junk=50, baud=9600)


async def connect(listener, raw, **options):
    """Call over `raw`; answers both ends of the session."""
    accepted = []

    async def accept() -> None:
        accepted.append(await listener.accept())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        caller = await SerialLink.call(raw, **options)
    return caller, accepted[0]


async def make():
    left, right = memory_pair()
    return await connect(SerialListener(right), left)


async def send_for_ever(link):
    while True:
        await link.send_all(TEXT)


async def make_clogged():
    caller, answerer = await make()
    for link in (caller, answerer):
        with trio.move_on_after(30):
            await send_for_ever(link)
    return caller, answerer


async def test_is_a_half_closeable_stream(autojump_clock):
    # a megabyte each way at 9600 baud: twenty minutes of line
    await check_half_closeable_stream(make, make_clogged)


async def exchange(one, two, size):
    """`size` bytes each way at once."""

    async def receive(link) -> None:
        received = b""
        while len(received) < size:
            received += await link.receive_some()
        assert received == TEXT[:size]

    async with trio.open_nursery() as nursery:
        for link in (one, two):
            nursery.start_soon(link.send_all, TEXT[:size])
            nursery.start_soon(receive, link)


async def over_a_bad_line(seed, faults=WORST, size=3000):
    """Both ways over a relay, then an orderly end; answers what the caller's line saw and when."""
    left, relay_left = memory_pair()
    relay_right, right = memory_pair()
    trace = []
    tap = Tap(left, lambda direction, data: trace.append((trio.current_time(), direction, data)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: relay(relay_left, relay_right, to_right=faults, to_left=faults, seed=seed))
        listener = SerialListener(right, number=2)
        caller, answerer = await connect(listener, tap, number=1)
        await exchange(caller, answerer, size)
        async with trio.open_nursery() as closing:
            closing.start_soon(caller.aclose)
            assert await answerer.receive_some() == b""
            await answerer.aclose()
        took = trio.current_time()
        await listener.aclose()
    return trace, took, caller.retransmissions


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_worst_line_that_is_promised(autojump_clock, seed):
    _, took, retransmissions = await over_a_bad_line(seed)
    assert retransmissions > 5
    # 3.9 s on a clean line
    assert 5 < took < 30


async def test_a_clean_line_at_9600_baud(autojump_clock):
    _, took, retransmissions = await over_a_bad_line(0, Faults(baud=9600))
    assert retransmissions == 0
    assert took < 4.2


def test_the_same_seed_gives_the_same_run(monkeypatch):
    from trio._core import _run

    monkeypatch.setattr(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)

    def run(seed):
        _run._r.seed(1)
        return trio.run(over_a_bad_line, seed, WORST, 800, clock=MockClock(autojump_threshold=0))

    assert run(5) == run(5)
    assert run(5) != run(6)


class Port(Tap):
    """A line that outlives the programs that use it; a killed program says nothing more."""

    killed = False

    async def send_all(self, data):
        if not self.killed:
            await super().send_all(data)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_one_session_follows_another_on_the_open_line(autojump_clock):
    left, right = memory_pair()
    ends = []
    async with SerialListener(right) as listener:
        for number in range(3):
            caller, answerer = await connect(listener, Port(left))
            await caller.send_all(b"session %d" % number)
            assert await answerer.receive_some() == b"session %d" % number
            async with trio.open_nursery() as nursery:
                nursery.start_soon(caller.aclose)
                ends.append(await answerer.receive_some())
                await answerer.aclose()
    assert ends == [b"", b"", b""]


async def test_a_new_call_breaks_the_session_before_it(autojump_clock):
    left, right = memory_pair()
    async with SerialListener(right) as listener:
        port = Port(left)
        killed, old = await connect(listener, port)
        await killed.send_all(b"half a mess")
        assert await old.receive_some() == b"half a mess"
        port.killed = True
        await trio.aclose_forcefully(killed)
        await killed._line.stopped.wait()
        new, answerer = await connect(listener, left)
        with pytest.raises(LinkBroken, match="another session"):
            await old.receive_some()
        await exchange(new, answerer, 500)
        await new.aclose()


async def test_a_restarted_listener_resets_the_caller(autojump_clock):
    left, right = memory_pair()
    port = Port(right)
    first = SerialListener(port)
    caller, _ = await connect(first, left)
    port.killed = True
    await first.aclose()
    async with SerialListener(right):
        with pytest.raises(LinkBroken, match="reset by the peer"):
            await caller.receive_some()


async def test_nobody_answers(autojump_clock):
    left, right = memory_pair()
    with pytest.raises(NoAnswer, match=r"no session within 5 s .*got 0 bytes"):
        await SerialLink.call(left, timeout=5)
    assert trio.current_time() == pytest.approx(5)
    # the line was closed
    while await right.receive_some():
        pass


async def test_a_cancelled_call_lets_go_of_the_line(autojump_clock):
    left, right = memory_pair()
    with trio.move_on_after(1):
        await SerialLink.call(left)
    with trio.fail_after(1):
        while await right.receive_some():
            pass


async def test_a_peer_that_speaks_nonsense(autojump_clock):
    left, right = memory_pair()

    async def babble() -> None:
        random = Random(1)
        while True:
            await right.send_all(random.randbytes(50) + b"login: \r\n")
            await trio.sleep(0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(babble)
        with pytest.raises(NoAnswer) as caught:
            await SerialLink.call(left)
        nursery.cancel_scope.cancel()
    assert caught.value.expected == "an answer to the attention frame"
    assert "bytes" in caught.value.got
    assert not caught.value.got.startswith("0 ")


async def test_a_peer_of_another_version_is_named_at_once(autojump_clock, monkeypatch):
    left, right = memory_pair()
    async with SerialListener(right):
        monkeypatch.setattr("insitu.transports.serial.endpoint.VERSION", 3)
        with pytest.raises(NoAnswer, match="expected version 1, got version 1") as caught:
            await SerialLink.call(left)
    assert caught.value.got == "version 1"
    assert trio.current_time() < 1


async def test_a_line_that_is_hung_up_breaks_the_link_after_what_came(autojump_clock):
    left, right = memory_pair()
    caller, answerer = await connect(SerialListener(right), left)
    await answerer.send_all(b"last words")
    await trio.sleep(1)
    await right.aclose()
    await trio.sleep(1)
    assert await caller.receive_some() == b"last words"
    with pytest.raises(LinkBroken, match="hung up"):
        await caller.receive_some()
    with pytest.raises(LinkBroken, match="hung up"):
        await caller.send_all(b"x")
    await caller.aclose()


async def test_a_line_that_is_hung_up_ends_calling_and_accepting(autojump_clock):
    left, right = memory_pair()
    await left.aclose()
    with pytest.raises(LinkBroken):
        await SerialLink.call(right)
    left, right = memory_pair()
    listener = SerialListener(right)
    await left.aclose()
    with pytest.raises(LinkBroken, match=r"hung up|lost"):
        await listener.accept()
    await listener.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()


async def test_a_peer_that_stops_answering_breaks_the_link_at_the_stated_limit(autojump_clock):
    left, relay_left = memory_pair()
    relay_right, right = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: relay(relay_left, relay_right, to_right=Faults(stall_after=100)))
        caller, _ = await connect(SerialListener(right), left, timing=Timing(patience=7))
        begun = trio.current_time()
        with pytest.raises(LinkBroken, match="no progress for 7 s"):
            await send_for_ever(caller)
        assert 7 <= trio.current_time() - begun < 9
        nursery.cancel_scope.cancel()


async def test_a_line_that_takes_nothing_breaks_the_link(autojump_clock):
    left, right = memory_pair()

    class Stuck(Port):
        async def send_all(self, data):
            if self.killed:
                await trio.sleep_forever()
            await super().send_all(data)

    port = Stuck(left)
    caller, _ = await connect(SerialListener(right), port)
    port.killed = True
    with pytest.raises(LinkBroken, match="the line was lost") as caught:
        await send_for_ever(caller)
    assert "took nothing for 15 s" in str(caught.value.__cause__)


async def test_a_peer_that_never_reads_holds_the_sender_and_its_close_is_bounded(autojump_clock):
    caller, answerer = await make()
    sent = 0
    with trio.move_on_after(600) as scope:
        while True:
            await caller.send_all(bytes(100))
            sent += 100
    assert scope.cancelled_caught
    assert sent < INBOX + 2000
    begun = trio.current_time()
    await caller.aclose()
    assert trio.current_time() - begun <= 16
    await answerer.aclose()


async def test_a_peer_that_reads_late_gets_everything(autojump_clock):
    caller, answerer = await make()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller.send_all, TEXT)
        await trio.sleep(300)
        received = b""
        while len(received) < len(TEXT):
            received += await answerer.receive_some(999)
        assert received == TEXT
        assert trio.current_time() < 302.7, "no waiting for questions once there is room"
        nursery.start_soon(caller.aclose)
        nursery.start_soon(answerer.aclose)


async def test_closing_waits_until_the_peer_has_everything(autojump_clock):
    caller, answerer = await make()
    await caller.send_all(TEXT[:400])
    await caller.aclose()
    # 400 bytes take half a second; they have left although nobody has read yet
    assert trio.current_time() > 0.4
    assert await answerer.receive_some() == TEXT[:400]
    assert await answerer.receive_some() == b""


async def test_an_end_of_its_own_arrives(autojump_clock):
    caller, answerer = await make()
    await trio.sleep(1)
    await caller.send_eof()
    with trio.fail_after(1):
        assert await answerer.receive_some() == b""


async def test_sending_to_a_peer_that_has_closed(autojump_clock):
    caller, answerer = await make()
    await caller.aclose()
    with pytest.raises(LinkBroken, match="the peer has closed the link"):
        await answerer.send_all(b"x")


async def test_a_cancelled_close_resets_the_peer(autojump_clock):
    caller, answerer = await make()
    await trio.aclose_forcefully(caller)
    with pytest.raises(LinkBroken, match="reset by the peer"):
        await answerer.receive_some()


async def test_closing_the_listener_ends_its_session(autojump_clock):
    left, right = memory_pair()
    listener = SerialListener(right)
    caller, answerer = await connect(listener, left)
    await listener.aclose()
    with pytest.raises(LinkBroken):
        await caller.receive_some()
    with pytest.raises(LinkBroken):
        await answerer.receive_some()


async def test_a_failure_inside_the_link_reaches_the_owner_with_its_cause(autojump_clock, monkeypatch):
    caller, _ = await make()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(caller._line.endpoint, "receive", fail)
    await caller.send_all(b"anything to be acknowledged")
    with pytest.raises(LinkBroken, match="failed") as caught:
        await caller.receive_some()
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value.__cause__.exceptions[0], ZeroDivisionError)


async def test_a_program_may_end_with_links_open():
    def run() -> None:
        trio.run(make, clock=MockClock(autojump_threshold=0))

    await trio.to_thread.run_sync(run)
