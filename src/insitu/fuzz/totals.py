"""What many runs came to: their reports are lines of JSON in files, one for each run over one target.

A sum is a report, too, so that what was added up once need not be kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..protocol.engine import UsageError
from .engine import Report

EVERYTHING = "all"
"""The target under which the sum over all targets stands."""


def add_report(file: Path, report: Report) -> None:
    """Add the report of a run to a file, which may be new.

    Raises:
        UsageError: it cannot be written.

    """
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(report.facts()) + "\n")
    except OSError as error:
        raise UsageError("report", who=str(file), expected="a file that can be written", got=error.strerror) from error


def read_reports(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The reports in these files, each as a sum; a line of another kind is none.

    Raises:
        UsageError: a file cannot be read, or is no file of reports.

    """
    for file in files:
        try:
            lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise UsageError(
                "report", who=str(file), expected="a JSON object a line", got=type(error).__name__
            ) from error
        for line in lines:
            if isinstance(line, dict) and {"target", "runs", "engine"} <= line.keys():
                yield {**_nothing(line["target"]), **_sum_of(line)}
            elif isinstance(line, dict) and _nothing("").keys() <= line.keys() and line["target"] != EVERYTHING:
                yield line


def totals(files: Iterable[Path]) -> list[dict[str, Any]]:
    """For each target what its runs came to, and at the end all of it; errors as for `read_reports`."""
    found: dict[str, dict[str, Any]] = {}
    whole = _nothing(EVERYTHING)
    for report in read_reports(files):
        for each in (found.setdefault(report["target"], _nothing(report["target"])), whole):
            for name in _nothing("").keys() - {"target"}:
                each[name] += report[name]
    return [*found.values(), whole]


def _nothing(target: str) -> dict[str, Any]:
    return {"target": target, "reports": 0, "inputs": 0, "seconds": 0.0, "processor_seconds": 0.0, "findings": 0}


def _sum_of(report: dict[str, Any]) -> dict[str, Any]:
    return {
        "reports": 1,
        "inputs": report["runs"],
        "seconds": report["seconds"],
        "processor_seconds": report["processor_seconds"],
        "findings": len(report["findings"]),
    }


def told_time(seconds: float) -> str:
    """Processor time for people."""
    hours, minutes = seconds / 3_600, seconds / 60
    return f"{hours:.2f} hours of a processor" if hours >= 1 else f"{minutes:.1f} minutes of a processor"
