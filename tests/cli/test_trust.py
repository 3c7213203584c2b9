"""insitu trust: every option is described, in the command and in the README, from one source."""

from __future__ import annotations

import json

import pytest
from commands import insitu

from insitu.protocol.channel.trust.options import ANY_LINK, DESCRIPTIONS, WIRED_LINK, check_link
from insitu.protocol.engine import UsageError
from insitu.protocol.messages import TrustOption


def test_every_option_is_described():
    assert set(DESCRIPTIONS) == set(TrustOption)
    for about in DESCRIPTIONS.values():
        assert all((about.links, about.needs, about.protects, about.leaves))


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


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.text)
@pytest.mark.parametrize("kind", sorted(ANY_LINK))
def test_links(option, kind):
    if option is TrustOption.PHYSICAL and kind not in WIRED_LINK:
        with pytest.raises(UsageError, match="wired local link only"):
            check_link(option, kind)
    else:
        check_link(option, kind)
