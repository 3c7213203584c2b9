"""A token takes its time, and the event loop does not wait for it: whole runs in which each call there would fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest
import trio
from off_the_loop import TokenWatch, watched_tokens
from side_by_side import together
from soft_token import SoftTokens
from world import DAY, World

from insitu.protocol.engine import Cmac, SecretUsage
from insitu.protocol.keys.certificates import key_digest
from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.token_vault import TokenVault
from insitu.protocol.messages import CardRole, ModuleCondition, TrustOption
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import ModulePersonalized, UnitState
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.card import Card
from insitu.shell.card_desk import CardDesk
from insitu.shell.enrolling import admit, enrol
from insitu.shell.module import Module
from insitu.shell.places import _InToken
from insitu.shell.syncing import sync, take_in
from insitu.shell.unit_service import UnitService
from insitu.shell.visit import Rules
from insitu.transports.memory import memory_pair

MODULE = "SN-token"


class TokenWorld(World):
    """A world whose card and module are in tokens; they are made before anything runs on trio."""

    def move_into(self, tokens: SoftTokens, stack: ExitStack) -> None:
        """Make card and module anew, in the tokens that are there."""
        self.card_place = self._place(tokens, "insitu", StoreKind.CARD)
        self.module_place = self._place(tokens, "another", StoreKind.MODULE)
        for name, there in (("card in a token", self.card_place), (MODULE, self.module_place)):
            vault = TokenVault.create(there.library, there.uri, there.kind, there.pin)
            self.vaults[name] = stack.enter_context(vault)  # type: ignore[assignment]
        self.card = self.new_card("Token Bank", "card in a token")
        self.central, self.central_certificate = self.new_central("Token Host")
        self.module = self.new_module(MODULE)

    def _place(self, tokens: SoftTokens, label: str, kind: StoreKind) -> _InToken:
        tokens.clear(label)
        return _InToken(read_uri(f"pkcs11:token={label}"), tokens.library, kind, Secret(tokens.pin.encode()))


@pytest.fixture
def world(soft_tokens: SoftTokens) -> Iterator[TokenWorld]:
    world = TokenWorld()
    with ExitStack() as stack:
        world.move_into(soft_tokens, stack)
        yield world


@pytest.fixture
def watch(world: TokenWorld) -> Iterator[TokenWatch]:
    with watched_tokens() as watch:
        yield watch
        assert watch.beside, "no token was called at all"


async def meet(world: TokenWorld, option: TrustOption, module: Module | None = None) -> None:
    """One whole personalization, of a module that was approved before."""
    here, there = memory_pair()
    unit = world.new_unit()
    personalize = partial(unit.personalize, there, MODULE, option, wired=True)
    outcomes = await together(partial((module or world.module).meet_unit, here, option, wired=True), personalize)
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert isinstance(outcomes[1].result, ModulePersonalized)


@pytest.fixture(params=[TrustOption.CERTIFICATES, TrustOption.PHYSICAL, TrustOption.TICKET], ids=lambda each: each.text)
def approved(request: pytest.FixtureRequest, world: TokenWorld) -> TrustOption:
    world.equip(request.param)
    world.approved(CardRole.MODULE, MODULE)
    return request.param


async def test_a_personalization(world: TokenWorld, approved: TrustOption, watch: TokenWatch):
    await meet(world, approved)
    assert world.module.record.condition is ModuleCondition.OPERATING


@pytest.fixture
def operating(world: TokenWorld) -> TokenWorld:
    """The module is personalized, was online once, and a key waits for it."""
    world.approved(CardRole.MODULE, MODULE)
    trio.run(meet, world, TrustOption.CERTIFICATES)
    trio.run(contact, world, lambda: world.module.at_work.online)
    world.load_key(serial=MODULE, seconds=DAY, uses=9)
    return world


async def contact(world: TokenWorld, enough: Callable[[], object]) -> None:
    """A session with the central system, until that is reached."""
    here, there = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(together, partial(world.module.work, here), partial(world.central.attend, there))
        await until(enough)
        nursery.cancel_scope.cancel()


async def until(reached: Callable[[], object]) -> None:
    with trio.fail_after(20):
        while not reached():
            await trio.sleep(0.01)


async def test_work_and_a_reset_by_hand(operating: TokenWorld, watch: TokenWatch):
    """Payments, a key that is loaded and used, payloads, with a session and without one, the clock, and the end."""
    module = operating.module
    work = module.at_work
    assert await work.send(b"before the session") == 1
    here, there = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(together, partial(module.work, here), partial(operating.central.attend, there))
        await until(lambda: work.online and module.record.keys)
        instructed = await work.authorize("4111111111111111", "DE02100100109307118603", 5000, "EUR")
        await work.settle(instructed.number, 5000)
        assert len(await work.use(SecretUsage.MAC, Cmac(b"data"))) == 16
        assert await work.send(b"within it") == 4
        nursery.cancel_scope.cancel()
    assert len(await work.use(SecretUsage.MAC, Cmac(b"data"))) == 16
    await work.look_at_clock()
    here, there = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(together, partial(module.work, here), partial(operating.central.attend, there))
        await until(lambda: work.online)
        assert await module.reset() == 1
    assert (module.state, module.keys.durable) == (ModuleState.RESET, {"identity"})


async def test_a_report_and_a_reset_by_command(operating: TokenWorld, watch: TokenWatch):
    here, there = memory_pair()
    outcomes = await together(
        partial(operating.module.meet_unit, here, TrustOption.CERTIFICATES),
        partial(operating.new_unit().inquire, there, MODULE, TrustOption.CERTIFICATES),
    )
    assert [outcome.error for outcome in outcomes] == [None, None]
    operating.order_reset(MODULE)
    await contact(operating, lambda: operating.module.state is ModuleState.RESET)
    assert operating.module.keys.durable == {"identity"}


@pytest.fixture
def serving(world: TokenWorld) -> UnitService:
    """A unit that listens, with the card given back so that others can use it."""
    world.approved(CardRole.MODULE, MODULE)
    desk = CardDesk(world.card_place, world.card_place.stamp, world.card, now=world.clock)
    rules = Rules(world.central_certificate)
    here = UnitService(
        desk, world.card, TrustOption.CERTIFICATES, rules, tell=print, watch_seconds=0.01, now=world.clock
    )
    here.check()
    world.card.keys.detach()
    return here


async def test_a_unit_that_serves(world: TokenWorld, serving: UnitService, watch: TokenWatch):
    """Its sessions, its looks at the card, and calls of mobiles."""
    assert serving.calls is None
    here, there = memory_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serving._watch)
        outcomes = await together(
            partial(world.module.meet_unit, here, TrustOption.CERTIFICATES), partial(serving.meet, there)
        )
        seen = serving._desk.record
        await until(lambda: serving._desk.record is not seen or serving.answers)
        nursery.cancel_scope.cancel()
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert outcomes[1].result is UnitState.PERSONALIZED


async def test_a_card_that_is_enrolled_and_has_its_log_read(world: TokenWorld, watch: TokenWatch):
    central = key_digest(world.central.key.public)
    here, there = memory_pair()
    outcomes = await together(
        partial(enrol, world.card, here, central, now=world.clock),
        partial(admit, world.central, there, world.root, world.card.customer.fingerprint, actor="set-up"),
    )
    assert [outcome.error for outcome in outcomes] == [None, None]
    here, there = memory_pair()
    card = Card(world.card.keys, now=world.clock)
    outcomes = await together(
        partial(sync, card, here, central, now=world.clock), partial(take_in, world.central, there)
    )
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert not card.has_unread_entries
