from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from insitu.protocol.stores.files import OS_FILES, StoreLocked


def test_a_new_file_is_for_its_owner_only(tmp_path):
    path = tmp_path / "new"
    old = os.umask(0)
    try:
        OS_FILES.close(OS_FILES.create(path))
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_create_follows_no_link_and_replaces_nothing(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        OS_FILES.create(tmp_path / "link")
    assert not (tmp_path / "target").exists()


def test_write_sync_reopen_overwrite(tmp_path):
    path = tmp_path / "file"
    file = OS_FILES.create(path)
    OS_FILES.write(file, b"content")
    OS_FILES.sync(file)
    OS_FILES.close(file)
    file, size = OS_FILES.reopen(path)
    assert size == 7
    OS_FILES.write(file, b"CON")
    OS_FILES.close(file)
    OS_FILES.sync_directory(tmp_path)
    assert OS_FILES.read(path, 100) == b"CONtent"
    assert OS_FILES.read(path, 2) == b"CO"


def test_all_is_written_even_if_the_system_writes_piecewise(tmp_path, monkeypatch):
    real = os.write
    file = OS_FILES.create(tmp_path / "file")
    monkeypatch.setattr(os, "write", lambda number, data: real(number, bytes(data[:3])))
    OS_FILES.write(file, b"piece by piece")
    monkeypatch.undo()
    OS_FILES.close(file)
    assert (tmp_path / "file").read_bytes() == b"piece by piece"


def test_links_replace_remove(tmp_path):
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"1")
    OS_FILES.link(path, other)
    assert path.samefile(other)
    (tmp_path / "c").write_bytes(b"2")
    OS_FILES.replace(tmp_path / "c", path)
    assert (path.read_bytes(), other.read_bytes()) == (b"2", b"1")
    OS_FILES.remove(other)
    assert list(tmp_path.iterdir()) == [path]


def test_resolve_goes_through_links(tmp_path):
    (tmp_path / "link").symlink_to("file")
    assert OS_FILES.resolve(tmp_path / "link") == (tmp_path / "file").resolve()


def test_a_lock_excludes_this_process_too_and_says_who_holds_it(tmp_path):
    path = tmp_path / "store.lock"
    lock = OS_FILES.lock(path)
    with pytest.raises(StoreLocked, match=f"got process {os.getpid()}"):
        OS_FILES.lock(path)
    lock.release()
    lock.release()
    OS_FILES.lock(path).release()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_lock_excludes_other_processes_until_the_holder_dies(tmp_path):
    path = tmp_path / "store.lock"
    program = (
        "import sys\nfrom pathlib import Path\nfrom insitu.protocol.stores.files import OS_FILES\n"
        "lock = OS_FILES.lock(Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreLocked, match=f"got process {holder.pid}"):
            OS_FILES.lock(path)
        holder.kill()
        holder.wait()
        OS_FILES.lock(path).release()


def test_a_directory_that_cannot_be_synced_is_taken_at_its_word(tmp_path, monkeypatch):
    def refuse(error: int):
        def fsync(_: int) -> None:
            raise OSError(error, "refused")

        return fsync

    monkeypatch.setattr(os, "fsync", refuse(22))  # EINVAL
    OS_FILES.sync_directory(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse(5))  # EIO
    with pytest.raises(OSError, match="refused"):
        OS_FILES.sync_directory(tmp_path)
