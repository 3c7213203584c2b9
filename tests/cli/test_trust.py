"""insitu trust: every option is described, in the command and in the README, from one source."""

from __future__ import annotations

import json

from commands import insitu

from insitu.protocol.channel.trust.options import DESCRIPTIONS


def test_as_json():
    ran = insitu("trust", "--json")
    told = [json.loads(line) for line in ran.out.splitlines()]
    assert [each["option"] for each in told] == [option.text for option in DESCRIPTIONS]
    for each, about in zip(told, DESCRIPTIONS.values(), strict=True):
        assert (each["needs"], each["protects"], each["leaves"]) == (about.needs, about.protects, about.leaves)
        assert set(each["links"]) == about.links - {"memory"}


def test_for_people():
    ran = insitu("trust")
    assert ran.code == 0
    for option, about in DESCRIPTIONS.items():
        assert f"{option.text}, over " in ran.out
        assert f"does not protect against: {about.leaves}\n" in ran.out
