from __future__ import annotations

from pathlib import Path

import pytest

from insitu.protocol.engine import EnvironmentFault
from insitu.protocol.stores.atomic import (
    ErasureFailed,
    StoreFailed,
    StoreUncertain,
    clear_leftovers,
    replace_file,
)
from insitu.protocol.stores.files import OS_FILES
from insitu.simulate.disk import CrashDisk, PowerCut

PATH = Path("/store/file")
OLD, NEW = b"old content, 32 bytes of it all.", b"new content"
SEEDS = range(12)


def disk_with_old(*, links: bool = True) -> CrashDisk:
    disk = CrashDisk(links=links)
    replace_file(disk, PATH, OLD)
    disk.calls.clear()
    return disk


def calls_of(*, erase: bool, links: bool = True) -> int:
    disk = disk_with_old(links=links)
    replace_file(disk, PATH, NEW, erase=erase)
    return len(disk.calls)


def cut_at(number: int):
    def cut(at: int, _: str) -> None:
        if at == number:
            raise PowerCut

    return cut


def fail_at(number: int):
    def fail(at: int, _: str) -> None:
        if at == number:
            raise OSError(28, "No space left on device")

    return fail


def test_real_files(tmp_path):
    path = tmp_path / "file"
    replace_file(OS_FILES, path, OLD)
    with path.open("rb") as still_open:
        replace_file(OS_FILES, path, NEW, erase=True)
        assert path.read_bytes() == NEW
        assert still_open.read() == bytes(len(OLD)), "the old content is overwritten where it lies"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_erasing_the_old_content_is_left_alone(tmp_path):
    path = tmp_path / "file"
    replace_file(OS_FILES, path, OLD)
    with path.open("rb") as still_open:
        replace_file(OS_FILES, path, NEW)
        assert still_open.read() == OLD


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("erase", [True, False])
def test_a_power_cut_at_any_call_leaves_old_or_new(erase, links):
    outcomes = set()
    for number in range(calls_of(erase=erase, links=links)):
        for seed in SEEDS:
            disk = disk_with_old(links=links)
            disk.before_call = cut_at(number)
            with pytest.raises(PowerCut):
                replace_file(disk, PATH, NEW, erase=erase)
            after = disk.survivors(seed)
            content = after.read(PATH, 100)
            assert content in (OLD, NEW)
            outcomes.add(content)
            clear_leftovers(after, PATH)
            assert after.read(PATH, 100) == content, "clearing away must not touch the file itself"
            assert list(after.survivors(0).names) == [PATH]
    assert outcomes == {OLD, NEW}


@pytest.mark.parametrize("erase", [True, False])
def test_what_has_returned_is_durable(erase):
    for seed in SEEDS:
        disk = disk_with_old()
        replace_file(disk, PATH, NEW, erase=erase)
        after = disk.survivors(seed)
        assert after.read(PATH, 100) == NEW
        if erase:
            assert OLD not in after.everything()


def test_an_interrupted_erasing_is_finished_at_the_next_opening():
    """Whatever survives: where the new content is found, no part of the old one is left, with or without a name."""
    interrupted = 0
    for number in range(calls_of(erase=True)):
        for seed in SEEDS:
            disk = disk_with_old()
            disk.before_call = cut_at(number)
            with pytest.raises(PowerCut):
                replace_file(disk, PATH, NEW, erase=True)
            after = disk.survivors(seed)
            if after.read(PATH, 100) == NEW:
                interrupted += 1
                clear_leftovers(after, PATH)
                left = b"".join(after.survivors(0).everything()).replace(NEW, b"")
                assert not [at for at in range(len(OLD) - 3) if OLD[at : at + 4] in left]
    assert interrupted >= 4 * len(SEEDS)


@pytest.mark.parametrize("short", [False, True])
def test_a_new_content_that_could_not_be_put_in_place_is_erased_too(short):
    """It holds what the old one holds, and more."""
    for number in range(calls_of(erase=True)):
        disk = disk_with_old()
        disk.short_writes = short
        disk.before_call = fail_at(number)
        if outcome_of(disk, erase=True) is StoreFailed:
            left = b"".join((*disk.survivors(0).everything(), *disk.survivors(1).everything()))
            assert NEW[: len(NEW) // 2] not in left


@pytest.mark.parametrize("erase", [True, False])
def test_a_failing_call_is_one_of_our_errors_and_says_what_is_there_now(erase):
    outcomes = set()
    for number in range(calls_of(erase=erase)):
        disk = disk_with_old()
        disk.before_call = fail_at(number)
        outcome = outcome_of(disk, erase=erase)
        outcomes.add(outcome)
        if outcome is StoreFailed:
            assert disk.names[PATH].seen == OLD
            assert list(disk.names) == [PATH], "nothing is left beside it"
        elif outcome is not StoreUncertain:
            assert disk.survivors(0).read(PATH, 100) == NEW
        disk.before_call = lambda number, name: None
        clear_leftovers(disk, PATH)
        replace_file(disk, PATH, b"third", erase=erase)
        assert disk.survivors(0).read(PATH, 100) == b"third"
        assert list(disk.survivors(0).names) == [PATH]
        assert not erase or OLD not in disk.everything()
    assert outcomes - {None} == {StoreFailed, StoreUncertain} | ({ErasureFailed} if erase else set())


def outcome_of(disk: CrashDisk, *, erase: bool) -> type[EnvironmentFault] | None:
    """The type of the error, None if the failing call did not matter."""
    try:
        replace_file(disk, PATH, NEW, erase=erase)
    except EnvironmentFault as error:
        return type(error)
    return None


def test_an_erasing_that_failed_is_made_up_for_by_the_next_one():
    disk = disk_with_old()
    disk.before_call = lambda number, name: fail_at(number)(number, name) if name == "reopen" else None
    with pytest.raises(ErasureFailed):
        replace_file(disk, PATH, NEW, erase=True)
    assert OLD in disk.everything()
    disk.before_call = lambda number, name: None
    replace_file(disk, PATH, b"third", erase=True)
    assert OLD not in disk.everything()
    assert NEW not in disk.everything()


def test_leftovers_that_cannot_be_removed_are_reported():
    disk = disk_with_old()
    replace_file(disk, PATH.with_name("file.new"), b"half")
    disk.before_call = lambda number, name: fail_at(number)(number, name) if name == "remove" else None
    with pytest.raises(ErasureFailed, match="leftovers"):
        clear_leftovers(disk, PATH)
