"""Over which links an option may be used (A1), and that every option is described."""

from __future__ import annotations

import pytest

from insitu.protocol.channel.trust.options import ANY_LINK, DESCRIPTIONS, WIRED_LINK, check_link
from insitu.protocol.engine import UsageError
from insitu.protocol.messages import TrustOption


def test_every_option_says_what_it_needs_protects_and_leaves():
    assert set(DESCRIPTIONS) == set(TrustOption)
    assert all(each.needs and each.protects and each.leaves for each in DESCRIPTIONS.values())


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.text)
def test_what_rests_on_a_wire_goes_over_no_network(option: TrustOption):
    allowed = WIRED_LINK if option is TrustOption.PHYSICAL else ANY_LINK
    for kind in ANY_LINK:
        if kind in allowed:
            check_link(option, kind)
            continue
        with pytest.raises(UsageError, match="trust option physical is for a wired local link only") as refused:
            check_link(option, kind)
        assert (refused.value.expected, refused.value.got) == ("--link device or serial", kind)


@pytest.mark.parametrize("option", TrustOption, ids=lambda option: option.text)
def test_a_link_that_nobody_knows_is_none(option: TrustOption):
    with pytest.raises(UsageError) as refused:
        check_link(option, "carrier pigeon", got="--link carrier-pigeon")
    assert refused.value.got == "--link carrier-pigeon"
    only = "a wired local link" if option is TrustOption.PHYSICAL else "certain links"
    assert f"is for {only} only" in str(refused.value)
