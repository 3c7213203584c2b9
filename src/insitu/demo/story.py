"""The story: which way it is told, and how it ends."""

from __future__ import annotations

from ..protocol.engine import UsageError
from .in_memory import act_in_memory
from .report import Report
from .separate import act_with_processes
from .stage import Stage


def check(link: str, trust: str) -> None:
    """Make sure, before anything is replaced, that there is such a story.

    Raises:
        UsageError: the trust option is not for this link (A1).

    """
    if trust == "physical" and link == "tcp":
        raise UsageError(
            "trust option physical is for a wired local link only", expected="--link serial or memory", got="tcp"
        )


async def tell(stage: Stage, report: Report, *, baud: int) -> None:
    """Act the whole life on `stage`, told to `report`.

    Raises:
        InsituError: it went wrong.

    """
    if report.link == "memory":
        await act_in_memory(stage, report)
    else:
        await act_with_processes(stage, report, baud)
    stage.finish()
    report.check()
    report.tell(f"{'all':<12} the second personalization made another key; module.pem is the certificate now valid")
