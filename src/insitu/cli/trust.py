"""insitu trust: the ways in which module and unit can trust each other, and what each is good for."""

from __future__ import annotations

import json

import click

from ..protocol.channel.trust.options import DESCRIPTIONS
from .common import say


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def trust(as_json: bool) -> None:
    """List the trust options: what each needs, over which links it may be used, against whom it helps and does not.

    Both sides are told the same one (--trust) before the link opens.
    """
    for option, about in DESCRIPTIONS.items():
        facts = {
            "option": option.text,
            "links": sorted(about.links - {"memory"}),
            "needs": about.needs,
            "protects": about.protects,
            "leaves": about.leaves,
        }
        if as_json:
            say(json.dumps(facts))
            continue
        say(f"{option.text}, over {', '.join(sorted(about.links - {'memory'}))}")
        say(f"  needs: {about.needs}")
        say(f"  protects against: {about.protects}")
        say(f"  does not protect against: {about.leaves}")
