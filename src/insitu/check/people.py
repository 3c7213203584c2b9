"""What people do with a party while no session of it runs: reset it, approve, see to it that all can go on."""

from __future__ import annotations

from ..protocol.engine import StateError
from ..protocol.messages import CardRole, TrustOption
from .networked import NetworkedUnit, approve_what_waits
from .parties import Done, ModuleParty, Party, UnitParty
from .world import SERIAL, Store, approve, card_of, issue_again


def reset_by_hand(party: Party, store: Store) -> Done:
    """Somebody at the module resets it (L8)."""
    assert isinstance(party, ModuleParty)  # noqa: S101 - only a module is reset
    party.program(store).reset_by_hand()
    store.vault.restart()
    return Done(None, store)


def see_to_module(party: Party, store: Store) -> Done:
    """Whoever looks after the module unlocks it."""
    assert isinstance(party, ModuleParty)  # noqa: S101 - the module's
    party.program(store).unlock()
    store.vault.restart()
    return Done(None, store)


def see_to_unit(party: Party, store: Store) -> Done:
    """Whoever looks after a unit issues a TAN, unlocks, and has a job approved."""
    assert isinstance(party, (UnitParty, NetworkedUnit))  # noqa: S101 - a unit's
    if party.option in (TrustOption.TAN, TrustOption.SECRET):
        issue_again(store, party.bank, party.option)
    approve(card_of(store.vault), CardRole.MODULE, SERIAL)
    store.vault.restart()
    return Done(None, store)


def approve_another(party: Party, store: Store) -> Done:
    """Two people approve another job for the module, where none is open; in the network, a key that waits."""
    if isinstance(party, NetworkedUnit):
        if not approve_what_waits(store):
            raise StateError("nothing waits", who="check")
        return Done(None, store)
    card = card_of(store.vault)
    if any(job.role is CardRole.MODULE for job in card.record.jobs):
        raise StateError("there is one", who="check")
    approve(card, CardRole.MODULE, SERIAL)
    store.vault.restart()
    return Done(None, store)
