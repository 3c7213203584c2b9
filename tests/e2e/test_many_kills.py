"""Programs that are killed while they write to a token: what is in it afterwards is the old state or the new one."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import token_life
from commands import write_secret
from token_life import label_of, number_of, record_of

from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.public import signature_holds
from insitu.protocol.keys.token_vault import TokenVault
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret

KILLS = 60


def killed_somewhere(words: list[str | Path], after: float) -> list[int]:
    """Let the program work, kill it so many seconds after its first commit; the commits that it knew of."""
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        timer = threading.Timer(after, process.kill)
        timer.start()
        said += process.stdout.readlines()
        timer.join()
    return [int(line) for line in said]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_of_a_commit(soft_tokens, tmp_path, seed):
    soft_tokens.clear()
    pin = Secret(soft_tokens.pin.encode())
    TokenVault.create(soft_tokens.library, read_uri(token_life.URI), StoreKind.MODULE, pin).close()
    words = [token_life.__file__, soft_tokens.library, write_secret(tmp_path / "pin", soft_tokens.pin)]
    chance, known = random.Random(seed), 0
    for _ in range(KILLS // 2):
        said = killed_somewhere(words, chance.uniform(0.0, 0.25))
        with token_life.opened(soft_tokens.library, soft_tokens.pin) as vault:
            number = number_of(vault.record)
            assert number in (said[-1], said[-1] + 1)
            assert said[0] == known + 1
            assert vault.record == record_of(number)
            assert vault.labels() == {label_of(number)}
            handle = vault.find(label_of(number))
            assert handle is not None
            assert signature_holds(handle.public, b"message", vault.sign(handle, b"message"))
            known = number
            assert soft_tokens.count() == 2 + 1 + 1 + number  # pair, seal, root, entries: nothing is left over
