"""House rules for every test run, loaded by pyproject.toml. Fixtures do not belong here: see tests/conftest.py.

- In CI (environment variable CI=true) a skip is a failure: a test that does not run proves nothing. What a test
  needs is installed by `make system`.
- What is marked `long` has a quarter of an hour, unless the test says otherwise.
- Hypothesis has no deadline (machines differ), and in CI no randomness: the same commit gives the same answer.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")

settings.register_profile("house", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if IN_CI else "house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A quarter of an hour for what is long; all else has the time that pyproject.toml gives."""
    for item in items:
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return _failed_if_skipped(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, pytest.CollectReport, Any]:
    report = yield
    return _failed_if_skipped(report)


def _failed_if_skipped(report: Any) -> Any:
    """An expected failure (xfail) is reported as skipped too, but it ran: it stays what it is."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: a skip is a failure in CI ({reason})"
    return report
