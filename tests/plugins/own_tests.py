"""Which tests are a part's own: those that must take every branch of it, and notice every small mistake in it.

A part is a folder of the product or some files of it; its tests are the folder beside which says so. Tests of the
whole (tests/protocol/test_*.py, of shells, simulations and programs) run the same lines many times over and are not
counted: what only they take, no test has asked for. `make coverage` and `make mutation` go by this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        patterns: of its files, from the root of the repository.
        tests: the folders with its own tests.

    """

    patterns: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them, in order."""
        return tuple(sorted({path for pattern in self.patterns for path in ROOT.glob(pattern)}))


PARTS = {
    "engine": Part(("protocol/engine/*.py",), ("tests/protocol/engine",)),
    "codec": Part(
        tuple(f"protocol/messages/{name}.py" for name in ("codec", "wire", "fields")),
        ("tests/protocol/messages",),
    ),
    "channel": Part(("protocol/channel/**/*.py",), ("tests/protocol/channel",)),
    "parties": Part(("protocol/parties/*.py",), ("tests/protocol/parties",)),
}
