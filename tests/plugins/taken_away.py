"""Checks that are taken away: how an attack is shown to miss its check, and what several such tests share.

An attack is run twice: as the product is, where it must fail, and with a small deliberate mutation that takes the one
check away, where it must get through.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from intruder import Trap
from world import NOW, SERIAL, World

from insitu.protocol.channel import proofs
from insitu.protocol.channel.trust import ModuleByIdentity
from insitu.protocol.channel.trust import certificates as certificates_option
from insitu.protocol.engine import STAY, KeyKind, Step, Table
from insitu.protocol.keys.certificates import Role, verify_issued
from insitu.protocol.keys.public import compress
from insitu.protocol.messages import Certificates, ModuleKey
from insitu.protocol.parties import module as module_rules
from insitu.protocol.parties.unit import UNIT, it_wants_personalization
from insitu.shell import unit as unit_shell

Patch = pytest.MonkeyPatch


class Unguarded:
    """A table in which one guard says yes to everything.

    It steps through the rows one by one: a real table refuses rows behind one that takes everything first.
    """

    def __init__(self, table: Table[Any, Any], guard: Callable[..., bool]) -> None:
        assert any(row.when is guard for row in table.rows)
        self.party = table.party
        self.accepts = table.accepts
        self._rows = [replace(row, when=None) if row.when is guard else row for row in table.rows]
        self._refuse = table.step

    def step(self, state: Any, data: Any, event: object) -> Step[Any, Any]:
        for row in self._rows:
            if state in row.sources and row.on is type(event) and (row.when is None or row.when(data, event)):
                data, effects = (data, ()) if row.do is None else row.do(data, event)
                return Step(state if row.then is STAY else row.then, data, tuple(effects))
        return self._refuse(state, data, event)


@dataclass
class Attack:
    """One check: how it is attacked, and how it is taken away.

    Attributes:
        run: plays the attack; whether it got through.
        remove: takes the check away.

    """

    run: Callable[[World], bool]
    remove: Callable[[Patch, World], None]


def present_own_key(world: World, trap: Trap, serial: str = SERIAL) -> bool:
    """Go on as a module would, with a key of the attacker's; whether the card certifies it."""
    if not trap.intruder.is_in or trap.victim.session.closed:
        return False
    vault = world.vault("attacker")
    key = vault.generate("operating", KeyKind.P256, b"")
    binding = trap.intruder._handshake.opened.binding  # type: ignore[union-attr]
    statement = proofs.possession(binding, serial, key.public)
    trap.say(ModuleKey(compress(key.public), vault.sign(key, statement)))
    issued = [message for message in trap.intruder.got if isinstance(message, Certificates)]
    if not issued:
        return False
    return verify_issued(issued[0].module, world.card.customer, Role.MODULE, now=NOW).public == key.public


def do_not_pin_the_serial(patch: Patch, world: World) -> None:
    def verify(data: bytes, issuer: Any, role: Role, *, now: int | None, subject: str | None = None) -> Any:
        return verify_issued(data, issuer, role, now=now)

    patch.setattr(certificates_option, "verify_issued", verify)
    patch.setattr(unit_shell, "UNIT", Unguarded(UNIT, it_wants_personalization))


def let_the_certificates_bring_their_root(patch: Patch, world: World) -> None:
    foreign = World(seed="other").root
    trusted = module_rules.trusted_root
    patch.setattr(module_rules, "trusted_root", lambda _: trusted(foreign))


def let_the_session_bring_its_root(patch: Patch, world: World) -> None:
    foreign = World(seed="other").card.root
    judge = ModuleByIdentity.judge
    patch.setattr(ModuleByIdentity, "judge", lambda terms, claim, at: judge(replace(terms, root=foreign), claim, at))


def leave_the_exporter_out_of_both_proofs(patch: Patch, world: World) -> None:
    possession, confirmation = proofs.possession, proofs.confirmation
    patch.setattr(proofs, "possession", lambda _, serial, public: possession(bytes(32), serial, public))
    patch.setattr(proofs, "confirmation", lambda _, serial, kept: confirmation(bytes(32), serial, kept))
