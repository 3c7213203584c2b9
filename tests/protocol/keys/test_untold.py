"""A token that does not tell what it has, now and then or for good: nothing is taken for outdated by that (S1, S6).

CKR_ATTRIBUTE_TYPE_INVALID and CKR_ATTRIBUTE_SENSITIVE say something of an object, and may be said for a fault. The
token is played (insitu.fuzz); test_faulty_token.py has a real one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, cast

import pytest
from pkcs11 import Attribute, exceptions
from world import Seeded

from insitu.fuzz.played_token import ERRORS, Instead, PlayedToken
from insitu.protocol.engine import InsituError
from insitu.protocol.keys.port import KeyStoreError
from insitu.protocol.keys.token_vault import TokenVault
from insitu.protocol.messages.codec import encode
from insitu.protocol.stores.sealed import StoreKind

UNTOLD = [ERRORS.index(each) * 2 for each in (exceptions.AttributeTypeInvalid, exceptions.AttributeSensitive)]
OLD, NEW, NEXT = (encode({1: number, 2: [bytes([number]) * 150]}) for number in range(3))


def begun(token: PlayedToken) -> TokenVault:
    return TokenVault.begin(cast("Any", token), StoreKind.MODULE, entropy=Seeded("begun"))


def over(token: PlayedToken) -> TokenVault:
    return TokenVault.over(cast("Any", token), StoreKind.MODULE, entropy=Seeded("over"))


def open_and_commit(token: PlayedToken) -> None:
    over(token).commit(NEXT, frozenset())


def interrupted() -> PlayedToken:
    """The last commit did not come to destroying what was outdated by it. There is no key that would be missed."""
    token = PlayedToken(Seeded("token"))
    vault = begun(token)
    vault.commit(OLD, frozenset())
    before = list(token.objects)
    vault.commit(NEW, frozenset())
    token.objects += [each for each in before if each not in token.objects]
    return token


@pytest.mark.parametrize("error", UNTOLD, ids=lambda number: ERRORS[number // 2].__name__)
@pytest.mark.parametrize("work", [begun, open_and_commit], ids=lambda work: work.__name__)
def test_the_newest_root_stays_whatever_is_not_told(work: Callable[[PlayedToken], object], error: int):
    """At any call of an opening, of a commit, and of a beginning in a token that has a vault already."""
    outcomes: list[str] = []
    for at in count():
        token = interrupted()
        token.calls, token.instead = 0, {at: Instead(error=error)}
        try:
            work(token)
            outcomes.append("done")
        except InsituError as failure:
            outcomes.append(type(failure).__name__)
        if token.calls <= at:
            break
        token.instead = {}
        written = outcomes[-1] in ("done", "StoreUncertain", "ErasureFailed") and work is open_and_commit
        assert over(token).record in ({NEW, NEXT} if written else {NEW}), (at, outcomes[-1])
    assert outcomes[-1] == ("done" if work is open_and_commit else "StoreExists")
    assert "KeyStoreError" in outcomes


def test_a_root_that_is_never_told_keeps_the_vault_shut():
    """It may be the newest, or not: which one counts cannot be known."""
    token = interrupted()
    roots = [each for each in token.objects if each.raw.get(Attribute.LABEL) == b"insitu module: root"]
    assert len(roots) == 2
    for untold in roots:
        value = untold.raw.pop(Attribute.VALUE)
        there = list(token.objects)
        with pytest.raises(KeyStoreError, match="AttributeTypeInvalid"):
            over(token)
        assert token.objects == there
        untold.raw[Attribute.VALUE] = value
    assert over(token).record == NEW


def test_a_part_that_is_never_told_is_no_reason_to_go_back():
    """The older root is whole; the newer one may be."""
    token = interrupted()
    new = max((each for each in token.objects if b": part " in each.raw.get(Attribute.LABEL, b"")), key=_value)
    value = new.raw.pop(Attribute.VALUE)
    there = list(token.objects)
    with pytest.raises(KeyStoreError, match="does not tell all of the record"):
        over(token)
    assert token.objects == there
    new.raw[Attribute.VALUE] = value
    assert over(token).record == NEW


def _value(part: Any) -> bytes:
    return part.raw[Attribute.VALUE]  # type: ignore[no-any-return]
