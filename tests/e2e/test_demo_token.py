"""The demonstration with the card in a token: keys that cannot leave it, and a PIN on no command line."""

from __future__ import annotations

import json
import os
import threading
from contextlib import suppress
from pathlib import Path

from command_processes import running

KEPT = "sensitive, always sensitive, never extractable, local"


def watch(group: int, seen: set[str], over: threading.Event) -> None:
    """Collect the command lines of a process group while it lives."""
    while not over.wait(0.05):
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                with suppress(OSError):
                    if os.getpgid(int(process.name)) == group:
                        seen.add((process / "cmdline").read_text(errors="replace"))


def test_the_card_is_in_a_token(tmp_path):
    seen: set[str] = set()
    over = threading.Event()
    with running("demo", "--link", "tcp", "--card", "pkcs11", "--out", str(tmp_path / "demo"), "--json") as process:
        watcher = threading.Thread(target=watch, args=(process.pid, seen, over))
        watcher.start()
        try:
            ran = process.wait(100)
        finally:
            over.set()
            watcher.join()
        assert ran.code == 0, ran.err
    *lines, last = ran.out.splitlines()
    assert json.loads(last)["ok"]
    text = "\n".join(lines)
    for label in ("signing", "authentication"):
        assert f"insitu card {label}: {KEPT}" in text
    for name in ("unit", "central", "module-1", "module-2"):
        assert f"openssl verify {name}.pem" in text
    private = tmp_path / "demo" / "private"
    assert not (private / "card.insitu").exists()
    assert any((private / "tokens").iterdir())
    pin = (private / "card.passphrase").read_text().strip()
    assert any("pin-source" in each for each in seen)
    assert not any(pin in each for each in (text, *seen))
