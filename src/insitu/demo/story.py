"""The story: which way it is told, and how it ends."""

from __future__ import annotations

from typing import Final

from ..protocol.channel.trust.options import check_link
from ..protocol.engine import UsageError
from ..protocol.messages import TrustOption
from .in_memory import act_in_memory
from .report import Report
from .separate import act_with_processes
from .stage import Stage
from .token import LABEL, check_installed, make_token, show_token

IN_TOKEN: Final = "pkcs11"  # noqa: S105 - where the card is
OPTIONS: Final = {option.text: option for option in TrustOption}


def check(link: str, trust: str, card: str) -> None:
    """Make sure, before anything is replaced, that there is such a story.

    Raises:
        UsageError: the trust option is not for this link (A1), or there is nothing that makes tokens.

    """
    check_link(OPTIONS[trust], link)
    if card == IN_TOKEN:
        if link == "memory":
            raise UsageError("a card in a token", who="demo", expected="--link tcp or serial", got=link)
        check_installed()


async def tell(stage: Stage, report: Report, *, baud: int, card: str) -> None:
    """Act the whole life on `stage`, told to `report`.

    Raises:
        InsituError: it went wrong.

    """
    if card == IN_TOKEN:
        stage.token = make_token(stage)
        report.tell(f"{'card':<12} has a token, {LABEL}")
    if report.link == "memory":
        await act_in_memory(stage, report)
    else:
        await act_with_processes(stage, report, baud)
    if card == IN_TOKEN:
        show_token(stage, report)
    stage.finish()
    report.check()
    report.tell(f"{'all':<12} the second personalization made another key; module.pem is the certificate now valid")
