"""A TAN that is a key in a token, at both sides, each before a peer that has it, to be learned (A8).

The unit counts the attempt and burns the TAN before it weighs the proof; the module asks nobody, and its token makes
and weighs proofs. Neither takes a share of an exchange, which TANs to be keyed in begin with.
"""

from __future__ import annotations

from typing import Any, Final

from black_box import LOST, SILENCE, Letter
from intruder import Intruder, Trap
from proof_players import ModuleProvesKey, UnitProvesKey
from pump import Line, NoStream
from pump import Side as LineSide
from wire_players import STREAM, UnitBeforeModule
from wire_players import holds as guards
from world import DAY, NOW, SERIAL, World, memory

from insitu.protocol.channel.proofs import Side
from insitu.protocol.channel.trust import ByTan
from insitu.protocol.channel.trust.token import UNIT_TOKEN
from insitu.protocol.engine import SecretHandle
from insitu.protocol.keys.tans import TanForm
from insitu.protocol.keys.vault import MemoryVault
from insitu.protocol.messages import CardRole, PakeShare, TrustOption
from insitu.shell.module import Module

TAN: Final = TrustOption.TAN
LABEL: Final = "the key in the token"


def plug_in(world: World, *, form: TanForm | None = None) -> MemoryVault:
    """The unit issues a TAN, and the module's operator brings a token with it; `form`: one that could be keyed in."""
    world.book().issue(SERIAL, form, not_after=NOW + DAY)
    token = memory("token")
    world.book().take_to_seal(SERIAL, token)
    about = world._about(SERIAL)
    world.module = Module(world.vault(SERIAL), token=token, now=world.module_clock, **about)  # type: ignore[arg-type]
    world.approved(CardRole.MODULE, SERIAL)
    return token


def met(world: World) -> Line:
    """The module with its token meets the unit, not begun yet."""
    module = LineSide("module", world.module.meet_unit(NoStream(), TAN))  # type: ignore[arg-type]
    return Line(module, LineSide("unit", world.new_unit().personalize(NoStream(), SERIAL, TAN)))  # type: ignore[arg-type]


class _HasTokensKey:
    """A peer that has what is in the token."""

    token: MemoryVault

    def shared(self, vault: Any) -> SecretHandle:
        """The key, in the peer's own key memory."""
        found = vault.find_secret(LABEL)
        value = self.token.storage.secret_bytes_for_sealing(SERIAL)
        return vault.storage.share(LABEL, value) if found is None else found  # type: ignore[no-any-return]


_A_SHARE: Final = Letter("a share", "PakeShare", say=lambda _: PakeShare(bytes(32)))


class ModuleBringsToken(_HasTokensKey, ModuleProvesKey):
    """A module whose operator plugs a token in, before a unit that issued what is in it."""

    option = TAN

    def __init__(self) -> None:
        world = World()
        self.token = plug_in(world)
        super().__init__(world, world.module)

    def meet(self) -> Trap:
        """A unit's end; the module has an identity and proves that as well."""
        vault = self.world.vault("peer")
        terms = ByTan.unit("Bank", self.fresh(vault), self.shared(vault), SERIAL, root=self.world.card.root)
        return Trap(LineSide("module", self.module.meet_unit(STREAM, TAN)), Intruder(terms, vault))

    letters = (
        ModuleProvesKey.letters[0],
        Letter("the right proof", "Proof", guards("the_mac_is_right"), lambda me: me.mac(me.shared(me.vault))),  # type: ignore[attr-defined]
        Letter("its own proof", "Proof", say=lambda me: me.mac(me.shared(me.vault), side=Side.MODULE)),  # type: ignore[attr-defined]
        *ModuleProvesKey.letters[3:5],
        _A_SHARE,
        LOST,
        SILENCE,
    )


class UnitExpectsToken(_HasTokensKey, UnitProvesKey):
    """A unit that gave a key out in a token, before the module; the attempt burns it, right or wrong."""

    option = TAN
    stage = UNIT_TOKEN

    def __init__(self) -> None:
        UnitBeforeModule.__init__(self)
        self.token = plug_in(self.world)

    def terms(self, vault: Any) -> Any:
        """Of a module."""
        identity = vault.find("identity")
        assert identity is not None
        return ByTan.module(self.world.module.record, identity, self.shared(vault))

    letters = (
        UnitProvesKey.letters[0],
        Letter("the right proof", "Proof", guards("the_mac_is_right"), lambda me: me.mac(me.shared(me.vault))),  # type: ignore[attr-defined]
        Letter("a proof as the unit", "Proof", say=lambda me: me.mac(me.shared(me.vault), side=Side.UNIT)),  # type: ignore[attr-defined]
        *UnitProvesKey.letters[3:5],
        _A_SHARE,
        LOST,
        SILENCE,
    )


IN_TOKENS: Final = (ModuleBringsToken, UnitExpectsToken)
