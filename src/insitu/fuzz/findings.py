"""What was found: an input that breaks a target's sentence, as an object and as files that anybody can replay."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Final

from .target import Broken, Target

PACKAGE: Final = PurePath(__file__).parent.parent.name
OWN: Final = "fuzz"


@dataclass(frozen=True)
class Finding:
    """An input that breaks what its target says.

    Attributes:
        target: name of the target.
        data: the input.
        what: what went wrong, in one line.
        where: the place in the product that raised, as file:function; empty where the target itself noticed.
        trace: the whole traceback.

    """

    target: str
    data: bytes
    what: str
    where: str = ""
    trace: str = ""

    @property
    def digest(self) -> str:
        """Names the input."""
        return sha256(self.data).hexdigest()[:16]

    @property
    def kind(self) -> tuple[str, str]:
        """Findings of one kind have one cause, as far as anybody can tell from outside."""
        return self.what.split(":")[0], self.where

    @classmethod
    def of(cls, target: Target, data: bytes, error: BaseException) -> Finding:
        """What escaped; of a group that trio made, the one error in it."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        what = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
        trace = "".join(traceback.format_exception(error))
        return cls(
            target.name, data, what.splitlines()[0][:200] if what else type(error).__name__, _place(error), trace
        )

    def write(self, directory: Path) -> Path:
        """Write the input, and beside it what went wrong; the input's path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.target}-{self.digest}.bin"
        path.write_bytes(self.data)
        path.with_suffix(".txt").write_text(
            f"{self.what}\n\nReplay it with:\n  {self.replay(path)}\n\n{self.trace}", encoding="utf-8"
        )
        return path

    def replay(self, path: Path) -> str:
        """The command that shows it again."""
        return f"{PACKAGE} fuzz {self.target} --replay {path}"


def _place(error: BaseException) -> str:
    """Where in the product, the fuzzing itself left out, the error comes from."""
    place = ""
    for frame in traceback.extract_tb(error.__traceback__):
        parts = PurePath(frame.filename).parts
        if (PACKAGE in parts and OWN not in parts) or "protocol" in parts or "transports" in parts:
            place = f"{'/'.join(parts[-2:])}:{frame.name}"
    return place
