"""The job list: a file that only filters, read at any time, replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from world import DAY, NOW, Clock

from insitu.protocol.engine import StateError, UsageError
from insitu.protocol.stores.atomic import StoreFailed
from insitu.protocol.stores.files import OS_FILES, StoreLocked
from insitu.shell.job_list import JobList, JobListDamaged


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.json"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nobody_is_on_a_list_that_is_not_there(path: Path, clock: Clock):
    here = JobList(path, now=clock)
    assert not here.admits("SM-1")
    assert here.modules() == {}
    assert not path.exists()


def test_modules_are_on_it_until_their_time_is_over(path: Path, clock: Clock):
    here = JobList(path, now=clock)
    here.allow("SM-1", NOW + 60)
    here.allow("SM-2*", NOW + DAY)
    other = JobList(path, now=clock)
    for serial, admitted in (("SM-1", True), ("SM-11", False), ("SM-2", True), ("SM-29", True), ("SM-3", False)):
        assert other.admits(serial) is admitted
    clock.at = NOW + 60
    assert other.admits("SM-1")
    clock.at += 1
    assert not other.admits("SM-1")
    assert other.admits("SM-29")
    assert json.loads(path.read_text()) == {
        "insitu": "job list 1",
        "modules": {"SM-1": "2027-01-15T08:01:00Z", "SM-2*": "2027-01-16T08:00:00Z"},
    }


def test_what_others_write_is_seen_at_once(path: Path, clock: Clock):
    here, other = JobList(path, now=clock), JobList(path, now=clock)
    assert not here.admits("SM-1")
    other.allow("SM-1", NOW + DAY)
    assert here.admits("SM-1")
    other.withdraw("SM-1")
    assert not here.admits("SM-1")
    path.unlink()
    assert not here.admits("SM-1")


@pytest.mark.parametrize("pattern", ["*", "", "SM-1\n", "SM-*1", "ä"])
def test_what_is_no_serial_number(path: Path, clock: Clock, pattern):
    with pytest.raises(UsageError, match="serial number"):
        JobList(path, now=clock).allow(pattern, NOW + DAY)


def test_a_time_that_is_over_and_an_entry_that_is_not_there(path: Path, clock: Clock):
    here = JobList(path, now=clock)
    with pytest.raises(UsageError, match="end of the permission"):
        here.allow("SM-1", NOW)
    here.allow("SM-1*", NOW + DAY)
    with pytest.raises(StateError, match="SM-11 is not on the list"):
        here.withdraw("SM-11")
    assert here.modules() == {"SM-1*": NOW + DAY}


MARK = '"insitu": "job list 1"'
NONE = [
    "",
    "{}",
    "[]",
    "no list",
    "\x00",
    "{" + MARK + "}",
    "{" + MARK + ', "modules": []}',
    "{" + MARK + ', "modules": {"SM-1": 5}}',
    "{" + MARK + ', "modules": {"SM-1": "soon"}}',
    "{" + MARK + ', "modules": {"*": "2099-01-01"}}',
    "{" + MARK + ', "modules": {}, "more": 1}',
    '{"insitu": "job list 2", "modules": {}}',
    "[" * 100_000,
]


@pytest.mark.parametrize("text", NONE, ids=range(len(NONE)))
def test_a_file_that_is_no_list_lets_nobody_in_and_is_not_written_over(path: Path, clock: Clock, text):
    path.write_text(text)
    here = JobList(path, now=clock)
    for attempt in (
        lambda: here.admits("SM-1"),
        lambda: here.allow("SM-1", NOW + DAY),
        lambda: here.withdraw("SM-1"),
    ):
        with pytest.raises(JobListDamaged):
            attempt()
    assert path.read_text() == text


def test_one_that_was_whole_before_lets_nobody_in_once_it_is_damaged(path: Path, clock: Clock):
    here = JobList(path, now=clock)
    here.allow("SM-1", NOW + DAY)
    path.write_text("{")
    for _ in range(2):
        with pytest.raises(JobListDamaged):
            here.admits("SM-1")


def test_two_writers_at_once(path: Path, clock: Clock):
    lock = OS_FILES.lock(path.with_name("jobs.json.lock"))
    with pytest.raises(StoreLocked):
        JobList(path, now=clock).allow("SM-1", NOW + DAY)
    lock.release()
    JobList(path, now=clock).allow("SM-1", NOW + DAY)


def test_a_place_that_cannot_be_written(tmp_path: Path, clock: Clock):
    with pytest.raises(StoreFailed):
        JobList(tmp_path / "nowhere" / "jobs.json", now=clock).allow("SM-1", NOW + DAY)
