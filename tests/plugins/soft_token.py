"""A token of the tests' own: SoftHSM in a temporary directory.

SoftHSM reads its configuration when it is loaded, once for a process, so that all tests of a process share its tokens.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PLACES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")
LABELS = ("insitu", "another")


@dataclass
class SoftTokens:
    """Two tokens, labelled as LABELS say.

    Attributes:
        directory: where they are.
        library: path of SoftHSM.
        pin: of the users of both.

    """

    directory: Path
    library: str = field(default_factory=lambda: next(place for place in PLACES if Path(place).exists()))
    pin: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def configuration(self) -> Path:
        return self.directory / "softhsm2.conf"

    def make(self) -> None:
        (self.directory / "tokens").mkdir()
        self.configuration.write_text(f"directories.tokendir = {self.directory}/tokens\nlog.level = ERROR\n")
        for label in LABELS:
            self.run(
                *("softhsm2-util", "--init-token", "--free", "--label", label),
                *("--pin", self.pin, "--so-pin", secrets.token_hex(8)),
            )

    def run(self, *words: str) -> str:
        """What the program prints."""
        return subprocess.run(
            words,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "SOFTHSM2_CONF": str(self.configuration)},
        ).stdout


@contextmanager
def soft_tokens_in(directory: Path) -> Iterator[SoftTokens]:
    """The tokens of this process."""
    with pytest.MonkeyPatch.context() as patch:
        tokens = SoftTokens(directory)
        tokens.make()
        patch.setenv("SOFTHSM2_CONF", str(tokens.configuration))
        yield tokens
