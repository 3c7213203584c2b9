"""The worlds in which a TAN is a key in the operator's token, which it does not leave (A8).

They are those of personalizing.py under the trust option tan. The first bank's operator plugs in a token for SN-1; the
second bank's book has another key, so that whoever brings the wrong token is turned away and has used up that TAN.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from ..protocol.engine import given
from ..protocol.messages import TrustOption
from .attacks import WITHSTOOD
from .memory import CheckedVault
from .parties import Done, ModuleParty, Party, UnitParty
from .people import see_to_unit
from .personalizing import Personalizing
from .state import Limits, Move, State
from .world import BANKS, DAY, NOW, SERIAL, Store, book_of

_REVOKED: Final = 4
"""Where in `State.left` it says how often the TAN may still be revoked; after what Personalizing has there."""


@dataclass(frozen=True)
class Sealed:
    """A book with a TAN that is a key, and the token that the key is in besides."""

    book: CheckedVault
    token: CheckedVault


@lru_cache(maxsize=2)
def sealed(bank: str) -> Sealed:
    """Of a bank, for SN-1."""
    book, token = CheckedVault(f"book of {bank}"), CheckedVault(f"token of {bank}")
    _issue(book, bank)
    book_of(book, bank).take_to_seal(SERIAL, token)
    for vault in (book, token):
        vault.restart()
    return Sealed(book, token)


def _issue(book: CheckedVault, bank: str) -> None:
    """A TAN of a bank is always the same key, so that its token has that of the next one as well."""
    book_of(book, bank).issue(SERIAL, None, not_after=NOW + DAY)


def _revoke(party: Party, store: Store) -> Done:
    assert isinstance(party, UnitParty)  # noqa: S101 - in the field
    book_of(given(store.book), party.bank).revoke(SERIAL)
    return Done(None, store)


class ByToken(Personalizing):
    """A module at which a token is plugged in.

    Args:
        limits: see Limits.
        revoked: how often the first bank's operator revokes the TAN, at any time.

    """

    def __init__(self, *, limits: Limits, revoked: int = 0) -> None:
        super().__init__(TrustOption.TAN, WITHSTOOD[TrustOption.TAN], limits=limits)
        self._revoked = revoked
        here, *units = self.places
        assert isinstance(here.party, ModuleParty)  # noqa: S101 - the first place is the module's
        self.places = replace(here, party=replace(here.party, token=sealed(BANKS[0]).token)), *units

    def initial(self) -> State:
        """See Scenario."""
        first = super().initial()
        units = (Store(self.start.units[bank].vault.fork(), sealed(bank).book.fork()) for bank in BANKS)
        stores = first.stores[0], *map(self.store_number, units)
        return first._replace(stores=stores, left=(*first.left, self._revoked))

    def others(self, state: State) -> Iterator[tuple[Move, State]]:
        """See Scenario."""
        yield from super().others(state)
        after = self.people(state, 1, "revoke", _revoke) if state.left[_REVOKED] else None
        if after is not None:
            yield Move("people", self.places[1].name, "operator", "revokes the TAN"), self.less(after, _REVOKED)

    def see_to_unit(self, party: Party, store: Store) -> Done:
        """See Personalizing: another TAN is sealed, where there is none."""
        assert isinstance(party, UnitParty)  # noqa: S101 - in the field
        book = given(store.book)
        if all(tan.serial != SERIAL for tan in book_of(book, party.bank).record().tans):
            _issue(book, party.bank)
            book_of(book, party.bank).take_to_seal(SERIAL, CheckedVault("another token"))
        return see_to_unit(party, store)
