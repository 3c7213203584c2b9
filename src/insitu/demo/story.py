"""The story: which way it is told, and how it ends."""

from __future__ import annotations

from typing import Final

from ..protocol.channel.trust.options import check_link
from ..protocol.messages import TrustOption
from .in_memory import act_in_memory
from .report import Report
from .separate import act_with_processes
from .stage import Stage

OPTIONS: Final = {option.text: option for option in TrustOption}


def check(link: str, trust: str) -> None:
    """Make sure, before anything is replaced, that there is such a story.

    Raises:
        UsageError: the trust option is not for this link (A1).

    """
    check_link(OPTIONS[trust], link)


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
