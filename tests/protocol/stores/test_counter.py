from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from insitu.protocol.engine import UsageError
from insitu.protocol.stores.counter import (
    LARGEST_COUNT,
    CounterAhead,
    CounterFailed,
    FileCounter,
    Guard,
    MemoryCounter,
    MonotonicCounter,
    RolledBack,
    adopt,
    must_advance,
)
from insitu.simulate.disk import CrashDisk, PowerCut

PATH = Path("/token/count")


# The rule -----------------------------------------------------------------------------------------------------


def test_a_store_that_is_where_the_counter_is_or_one_write_further():
    for count in (0, 1, 2, 7, LARGEST_COUNT - 1):
        assert must_advance(count, count) is False
        assert must_advance(count, count + 1) is True


def test_every_other_store_is_refused():
    for count in range(6):
        for generation in range(9):
            if generation < count:
                with pytest.raises(RolledBack, match="old copy") as caught:
                    must_advance(count, generation)
                assert (caught.value.expected, caught.value.got) == (f"generation {count}", str(generation))
            elif generation > count + 1:
                with pytest.raises(CounterAhead, match="adopt") as ahead:
                    must_advance(count, generation)
                assert (ahead.value.expected, ahead.value.got) == (f"{generation - 1} or {generation}", str(count))
            else:
                must_advance(count, generation)


def test_opening_makes_up_for_a_cut_and_for_nothing_else():
    counter = MemoryCounter(4)
    Guard(counter, 4)
    assert counter.count == 4
    Guard(counter, 5)
    assert counter.count == 5
    for generation, error in ((4, RolledBack), (7, CounterAhead)):
        with pytest.raises(error):
            Guard(counter, generation)
        assert counter.count == 5


def test_each_write_is_followed():
    counter = MemoryCounter()
    guard = Guard(counter, 0)
    for generation in (1, 2, 3):
        guard.check()
        guard.written(generation)
        assert counter.count == generation


class Failing(MemoryCounter):
    """A counter that fails when told, before or after its step."""

    failing: str = ""

    def advance(self, to: int) -> None:
        if self.failing == "before":
            raise CounterFailed("gone")
        super().advance(to)
        if self.failing == "after":
            raise CounterFailed("gone")


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_failed_advance_nothing_more_is_written_until_the_store_is_opened_again(when):
    counter = Failing(3)
    guard = Guard(counter, 3)
    counter.failing = when
    with pytest.raises(CounterFailed):
        guard.written(4)
    counter.failing = ""
    for step in (guard.check, lambda: guard.written(5)):
        with pytest.raises(CounterFailed, match="opened again"):
            step()
    Guard(counter, 4).check()
    assert counter.count == 4


def test_two_machines_with_one_counter_notice():
    counter = MemoryCounter(1)
    one, other = Guard(counter, 1), Guard(counter, 1)
    one.written(2)
    one.written(3)
    with pytest.raises(RolledBack):
        other.written(2)
    with pytest.raises(CounterFailed):
        other.check()


def test_an_operator_adopts_a_counter_that_was_reset_but_turns_none_back():
    counter = MemoryCounter(0)
    with pytest.raises(CounterAhead):
        Guard(counter, 9)
    adopt(counter, 9)
    Guard(counter, 9)
    with pytest.raises(RolledBack):
        Guard(counter, 8)
    with pytest.raises(RolledBack, match="only grows"):
        adopt(counter, 8)
    assert counter.count == 9


# What every counter does --------------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "file", "real file"])
def counter(request, tmp_path) -> MonotonicCounter:
    if request.param == "memory":
        return MemoryCounter()
    if request.param == "file":
        return FileCounter.create(PATH, files=CrashDisk())
    return FileCounter.create(tmp_path / "count")


def test_it_grows_and_never_falls(counter):
    assert counter.read() == 0
    for to in (1, 1, 2, 40, LARGEST_COUNT):
        counter.advance(to)
        assert counter.read() == to
    for to in (0, LARGEST_COUNT - 1):
        with pytest.raises(RolledBack):
            counter.advance(to)
        assert counter.read() == LARGEST_COUNT


@pytest.mark.parametrize("to", [-1, LARGEST_COUNT + 1])
def test_no_counter_goes_there(counter, to):
    with pytest.raises(UsageError, match="0 to 9223372036854775807"):
        counter.advance(to)
    assert counter.read() == 0


# The counter in a file ----------------------------------------------------------------------------------------


def test_a_file_counter_is_made_once_and_found_again(tmp_path):
    path = tmp_path / "count"
    FileCounter.create(path, 7)
    with pytest.raises(UsageError, match="file already"):
        FileCounter.create(path)
    assert FileCounter(path).read() == 7
    FileCounter(path).advance(8)
    assert FileCounter(path).read() == 8
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["count"]


def test_a_file_that_is_gone_is_not_made_anew(tmp_path):
    counter = FileCounter(tmp_path / "count")
    for use in (counter.read, lambda: counter.advance(1)):
        with pytest.raises(CounterFailed, match="no counter"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_noticed(tmp_path):
    path = tmp_path / "count"
    FileCounter.create(path, 12)
    whole = path.read_bytes()
    damaged = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(len(whole))]
    for content in (b"", b"12", b"12\n", whole + b"\n", whole * 2, *(whole[:at] for at in range(len(whole))), *damaged):
        path.write_bytes(content)
        with pytest.raises(CounterFailed, match="damaged"):
            FileCounter(path).read()
    path.write_bytes(whole)
    assert FileCounter(path).read() == 12


def calls_of_an_advance() -> int:
    disk = CrashDisk()
    counter = FileCounter.create(PATH, 4, files=disk)
    begun = len(disk.calls)
    counter.advance(5)
    return len(disk.calls) - begun


@pytest.mark.parametrize("seed", range(6))
def test_a_power_cut_leaves_the_old_number_or_the_new(seed):
    found = set()
    for number in range(calls_of_an_advance()):
        disk = CrashDisk()
        counter = FileCounter.create(PATH, 4, files=disk)
        begun = len(disk.calls)

        def power(at: int, _: str, last: int = begun + number) -> None:
            if at == last:
                raise PowerCut

        disk.before_call = power
        with pytest.raises(PowerCut):
            counter.advance(5)
        after = FileCounter(PATH, disk.survivors(seed))
        found.add(after.read())
        after.advance(6)
        assert after.read() == 6
    assert found <= {4, 5}
    assert 4 in found


def test_a_disk_that_fails_is_our_error_and_nothing_is_turned_back():
    failures = 0
    for number in range(calls_of_an_advance()):
        disk = CrashDisk()
        counter = FileCounter.create(PATH, 4, files=disk)
        begun = len(disk.calls)

        def fail(at: int, _: str, bad: int = begun + number) -> None:
            if at == bad:
                raise OSError(5, "Input/output error")

        disk.before_call = fail
        with suppress(CounterFailed):
            counter.advance(5)
            failures -= 1
        failures += 1
        disk.before_call = lambda number, name: None
        assert counter.read() in (4, 5)
        counter.advance(5)
        assert counter.read() == 5
    assert failures >= 5
