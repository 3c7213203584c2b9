from __future__ import annotations

from dataclasses import replace

import pytest
from world import NOW, World

from insitu.protocol.channel.edhoc import X5T, Kccs, Kid, X5Chain
from insitu.protocol.channel.trust import SUITES
from insitu.protocol.channel.trust.terms import chain_of, check_unexpired
from insitu.protocol.engine import ProtocolError
from insitu.protocol.keys.certificates import CertificateRefused, trusted_root


def test_the_suites_are_those_with_p256_and_the_longer_tags_come_first():
    assert SUITES == (3, 2)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_chain_has_exactly_the_length_that_is_expected(length):
    for count in (1, 2, 3, 4):
        claim = X5Chain(tuple(b"%d" % number for number in range(count)))
        if count == length:
            assert chain_of(claim, length, "module") == claim.certificates
        else:
            with pytest.raises(ProtocolError, match=f"expected x5chain of {length}, got {count}"):
                chain_of(claim, length, "module")


@pytest.mark.parametrize(
    "claim", [Kid(b"1"), Kccs(b"\xa0"), X5T(-15, bytes(8))], ids=lambda claim: type(claim).__name__
)
def test_no_other_kind_of_credential_is_a_chain(claim):
    with pytest.raises(ProtocolError, match=type(claim).__name__):
        chain_of(claim, 1, "module")


def test_what_has_not_begun_tells_that_the_clock_is_behind(world: World):
    root, customer = trusted_root(world.root), world.card.customer
    early = replace(root, not_before=NOW - 100, not_after=NOW + 100)
    late = replace(customer, not_before=NOW + 50, not_after=NOW + 200)
    for at in (0, NOW - 100, NOW, NOW + 60, NOW + 100):
        check_unexpired((early, late), at)
    with pytest.raises(CertificateRefused, match="manufacturer certificate has expired"):
        check_unexpired((early, late), NOW + 101)
    with pytest.raises(CertificateRefused, match="manufacturer certificate has expired"):
        check_unexpired((early, replace(late, not_before=NOW + 101)), 0)
    with pytest.raises(CertificateRefused, match="customer certificate has expired") as refused:
        check_unexpired((replace(early, not_after=NOW + 300), late), NOW + 201)
    assert refused.value.check == "validity"
