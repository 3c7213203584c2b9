"""A customer in a simulated world: its card and unit, its host, its modules; and what its operators do all day."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

import trio

from ..protocol.engine import InsituError, SecretAlgorithm, SecretUsage
from ..protocol.keys.requests import read_request
from ..protocol.messages import CardRole, TrustOption
from ..protocol.stores.registry import CommandKind
from ..shell.operator import import_crl, order_key, send_crl
from .card_holders import EVERY_SERIAL
from .chance import Chance
from .host import Hosts
from .plan import Trouble
from .power import PowerCut
from .site import Site
from .technician import Technician
from .world import World

MODULES: Final = 25
"""That one customer has at most: a card's log grows, and each of its uses takes the longer."""
WITH_IDENTITY: Final = frozenset(
    (TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY, TrustOption.SECRET, TrustOption.TAN)
)
"""Options under which a module shows the identity that its maker gave it: that is what his list names."""
WITHDRAWN_SECONDS: Final = (600.0, 1800.0)
"""After which a module that the manufacturer has withdrawn is replaced."""
ORDERS_SECONDS: Final = 300.0
"""Between two orders of an operator for one module."""


class Bank:
    """A customer.

    Args:
        world: where it is.
        number: among its customers.
        modules: how many it has.
        hosts: another customer's, which are ours as well; None: we have our own.

    """

    def __init__(self, world: World, number: int, modules: int, hosts: Hosts | None = None) -> None:
        self.world = world
        self.name = f"Bank {number}"
        self.chance = world.chance.of(self.name)
        self._runs_hosts = hosts is None
        self.hosts = hosts or Hosts(world, f"host-{number}")
        self.technician = Technician(world, f"unit-{number}", self.name)
        self.technician.furnish()
        self._key = read_request(self.hosts.request)
        certificate = self._certified_hosts()
        self._door = 0 if self._runs_hosts else self.hosts.add_door(certificate)
        if self._runs_hosts:
            self.hosts.show(self._door, certificate)
        serials = [f"{EVERY_SERIAL}{number}-{each:03d}" for each in range(modules)]
        address = self.hosts.address_of(self._door)
        self.sites = [Site(world, serial, address, self.technician) for serial in serials]
        by_ticket = sum(site.option is TrustOption.TICKET for site in self.sites)
        if by_ticket:
            job = self.technician.approve(CardRole.TICKETS, str(by_ticket))
            world.manufacturer.take_tickets(self.technician.card.order_tickets(job))
        self._withdrawn: dict[str, Site] = {}
        for site in self.sites:
            site.deliver()

    def _certified_hosts(self) -> bytes:
        """The certificate of the hosts' key by our card, which they trust."""
        self.technician.certify(CardRole.CENTRAL, self._key.subject, self._key.public)
        self.hosts.trust(self.technician.card.customer.der)
        return self.technician.central

    def open(self, nursery: trio.Nursery) -> None:
        """Business begins."""
        if self._runs_hosts:
            self.hosts.open(nursery)
        self.technician.machine.on = False
        self.world.switch_on(self.technician.machine, self.technician.run, nursery)
        for site in self.sites:
            self.world.switch_on(site.machine, site.run, nursery)
            if self.world.plan.of(Trouble.IMPOSTOR):
                nursery.start_soon(site.impostor.run)
        nursery.start_soon(self._give_orders)
        for trouble, strike, many in (
            (Trouble.RESET_ORDERED, self._order_reset, len(self.sites)),
            (Trouble.RESET_BY_HAND, self._reset_by_hand, len(self.sites)),
            (Trouble.MODULE_DISABLED, self._disable, len(self.sites)),
            (Trouble.MODULE_REVOKED, self._revoke, len(self.sites)),
            (Trouble.IDENTITY_REVOKED, self._withdraw, len(self.sites)),
            (Trouble.CARD_LOST, self._lose_card, 1),
        ):
            rate = self.world.plan.of(trouble) * many
            nursery.start_soon(self.world.visit, trouble, self.name, rate, strike)

    # Operators

    async def _give_orders(self) -> None:
        """Symmetric keys and instructions, until the world is calm."""
        chance = self.chance.of("orders")
        while not self.world.calm:
            await trio.sleep(chance.pause(ORDERS_SECONDS / len(self.sites)))
            serial, central = chance.one_of(self.sites).serial, self.hosts.central
            with suppress(InsituError):
                if chance.happens(0.5):
                    content = f"to {serial} at {self.world.now()}".encode()
                    self.hosts.registry.put_command(
                        serial, CommandKind.INSTRUCT, content, actor="operator", at=self.world.now()
                    )
                else:
                    storage = central.keys.storage
                    block, value = storage.new_secret_block(SecretUsage.MAC, SecretAlgorithm.AES, 128)
                    until, uses = self.world.now() + chance.whole(60, 1800), chance.whole(1, 20)
                    order_key(central, serial, block, value, not_after=until, uses=uses, actor="operator")
            self.hosts.nudge()

    async def _order_reset(self, chance: Chance) -> None:
        serial = chance.one_of(self.sites).serial
        self.world.count(Trouble.RESET_ORDERED, serial)
        with suppress(InsituError):
            self.hosts.registry.order_reset(serial, actor="operator", at=self.world.now())
            self.hosts.nudge()

    async def _reset_by_hand(self, chance: Chance) -> None:
        site = chance.one_of(self.sites)
        self.world.count(Trouble.RESET_BY_HAND, site.serial)
        site.reset_by_hand("somebody wants it")

    async def _disable(self, chance: Chance) -> None:
        site = chance.one_of(self.sites)
        with suppress(InsituError):
            self.hosts.registry.disable_module(site.serial, actor="operator", at=self.world.now(), reason="suspected")
            self.world.count(Trouble.MODULE_DISABLED, site.serial)
            self.hosts.nudge()

    async def _revoke(self, chance: Chance) -> None:
        """People put a module's certificates on the card's list, and the host takes it in."""
        serial = chance.one_of(self.sites).serial
        if not (self.hosts.on and self.technician.machine.on):
            return
        with suppress(InsituError, PowerCut):
            crl = import_crl(self.hosts.central, self.technician.revoke(serial), actor="operator")
            self.world.count(Trouble.MODULE_REVOKED, serial)
            known = self.world.history.revoked.setdefault(self.hosts.registry.name, {})
            for number in crl.revoked:
                known.setdefault((crl.issuer, number), self.world.now())
            self.hosts.nudge()

    async def _withdraw(self, chance: Chance) -> None:
        """The manufacturer's list has a module; card, host and modules take it in; later another takes its place."""
        site, maker = chance.one_of(self.sites), self.world.manufacturer
        serial, unit = site.serial, self.technician
        if serial in self._withdrawn or not (self.hosts.on and unit.machine.on):
            return
        with suppress(InsituError, PowerCut):
            maker.revoke(maker.number_of_module(serial))
            self._withdrawn[serial] = site
            self.world.count(Trouble.IDENTITY_REVOKED, serial)
            self.world.clock.at(trio.current_time() + chance.between(*WITHDRAWN_SECONDS), partial(site.discard, serial))
            crl = maker.sign_list()
            unit.card.heed(crl)
            if site.option in WITH_IDENTITY:
                self.world.history.withdrawn.setdefault(unit.machine.name, {})[serial] = self.world.now()
            import_crl(self.hosts.central, crl, actor="operator")
            send_crl(self.hosts.central, actor="operator")
            self.hosts.nudge()

    async def _lose_card(self, chance: Chance) -> None:
        """The card is lost: nobody whom it certified may work any more; another card certifies them anew."""
        lost, world = self.technician.card.customer.fingerprint, self.world
        if not self.hosts.on:
            return
        world.count(Trouble.CARD_LOST, self.technician.machine.name)
        if chance.happens(0.5):
            self.hosts.registry.disable_issuer(
                lost, lost=world.now(), keep_known=False, actor="operator", at=world.now()
            )
        else:
            world.manufacturer.revoke(world.manufacturer.number_of(self.technician.card.customer.der))
            import_crl(self.hosts.central, world.manufacturer.sign_list(), actor="operator")
        world.history.lost.setdefault(self.hosts.registry.name, {}).setdefault(lost, world.now())
        self.technician.replace_card()
        if self._withdrawn:  # what the card before was given
            self.technician.card.heed(world.manufacturer.sign_list())
        for site in self.sites:
            if site.option is TrustOption.TICKET:  # the new card has given out none
                site.option = TrustOption.CERTIFICATES
                site.machine.lose_power(killed=True)  # its program was begun with the other option
        self.hosts.show(self._door, self._certified_hosts())
        self.hosts.nudge()

    def enable_all(self) -> None:
        """What is disabled may work again, with new certificates; what the manufacturer has withdrawn is replaced."""
        for serial, site in self._withdrawn.items():
            site.discard(serial)
        for site in self.sites:
            with suppress(InsituError):
                self.hosts.registry.enable_module(site.serial, actor="operator", at=self.world.now())
                site.reset_by_hand("it was disabled")
