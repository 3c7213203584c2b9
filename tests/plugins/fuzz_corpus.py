"""Run as a program, writes the seeds of every target to tests/fuzz/corpus/TARGET/; `found-*` there stay as they are."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from insitu.fuzz import TARGETS, Target

HERE = Path(__file__).parents[1] / "fuzz"
CORPUS = HERE / "corpus"
REGRESSIONS = HERE / "regressions"
FOUND = "found-"
"""Begins the names of inputs that a guided run kept, since they reach what the seeds do not."""


def files_of(target: Target) -> dict[str, bytes]:
    """The files that the seeds of a target are written to."""
    return {sha256(data).hexdigest()[:16]: data for data in target.seeds()}


def main() -> None:
    for target in TARGETS.values():
        directory = CORPUS / target.name
        directory.mkdir(parents=True, exist_ok=True)
        wanted = files_of(target)
        for path in directory.iterdir():
            if path.name not in wanted and not path.name.startswith(FOUND):
                path.unlink()
        for name, data in wanted.items():
            (directory / name).write_bytes(data)


if __name__ == "__main__":
    main()
