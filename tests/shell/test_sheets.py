from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from insitu.protocol.engine import EnvironmentFault, UsageError
from insitu.protocol.keys.codes import write_code, write_symbols
from insitu.protocol.keys.tans import TanAlphabet, TanForm, draw_tan, read_tan
from insitu.protocol.stores.tans import TanGone
from insitu.shell import sheets
from insitu.shell.sheets import write_shipped_key_sheet, write_tan_sheet

KEY = bytes(range(16))
CODE = write_code(KEY)


def test_the_sheet_has_the_key_and_nothing_else_has(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = tmp_path / "sheet.html"
    write_shipped_key_sheet(path, "Acme & <Sons>", "SN-<1>", KEY)
    text = path.read_text("utf-8")
    assert text.count(CODE) == 1
    assert "SN-&lt;1&gt;" in text
    assert "Acme &amp; &lt;Sons&gt;" in text
    assert "<svg" in text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert capfd.readouterr() == ("", "")
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.html"]


def test_without_the_extra_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sheets, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "segno", None)
    path = tmp_path / "sheet.html"
    write_shipped_key_sheet(path, "Acme", "SN-1", KEY)
    assert CODE in path.read_text("utf-8")
    assert "<svg" not in path.read_text("utf-8")
    assert "segno is not installed" in path.read_text("utf-8")


@pytest.mark.parametrize("form", TanAlphabet)
def test_the_sheet_for_an_envelope(tmp_path: Path, form: TanAlphabet):
    """The TAN once, with its check symbol, in groups and as a QR code; its back hides it from a light."""
    tan = draw_tan(TanForm(form, 32), os.urandom)
    code = write_symbols(tan, form.alphabet)
    path = tmp_path / "sheet.html"
    write_tan_sheet(path, "SN-<1>", lambda: (code, "2027-01-31 12:00"))
    text = path.read_text("utf-8")
    assert text.count(code) == 1
    assert read_tan(text.partition('class="tan">')[2].partition("<")[0]) == tan
    assert text.count("<svg") == 1
    assert "Until 2027-01-31 12:00" in text
    assert "SN-&lt;1&gt;" in text
    assert 'class="screen"' in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_sheet_whose_tan_cannot_be_had_is_not_there(tmp_path: Path):
    path = tmp_path / "sheet.html"

    def gone() -> tuple[str, str]:
        raise TanGone("no TAN")

    with pytest.raises(TanGone):
        write_tan_sheet(path, "SN-1", gone)
    assert not path.exists()


def test_a_full_disk_leaves_no_half_sheet(tmp_path: Path):
    def full() -> tuple[str, str]:
        raise OSError(28, "No space left on device")

    with pytest.raises(EnvironmentFault, match="must not be used"):
        write_tan_sheet(tmp_path / "sheet.html", "SN-1", full)
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_replaced_and_none_is_made_where_there_is_no_directory(tmp_path: Path):
    path = tmp_path / "sheet.html"
    path.write_text("mine")
    with pytest.raises(UsageError, match="exists") as exists:
        write_shipped_key_sheet(path, "Acme", "SN-1", KEY)
    assert path.read_text() == "mine"
    with pytest.raises(EnvironmentFault, match="cannot write") as nowhere:
        write_shipped_key_sheet(tmp_path / "none" / "sheet.html", "Acme", "SN-1", KEY)
    assert CODE not in str(exists.value) + str(nowhere.value)
