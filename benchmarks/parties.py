"""The parties that are measured: made once, all in memory, and set back to "delivered" and "approved" before each run.

Storage is left out on purpose: vaults are MemoryVaults, but where others are given. The people's PINs (scrypt, slow by
design) come before the clock starts, as they come before the link opens.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import trio
from pumping import Nowhere, Pump, Watch

from insitu.protocol.channel.handshake import Handshake
from insitu.protocol.channel.trust import ModuleByIdentity, UnitByCertificate
from insitu.protocol.engine import PublicKey, given
from insitu.protocol.keys.public import load_public
from insitu.protocol.keys.reading import read_certificate
from insitu.protocol.keys.requests import read_request
from insitu.protocol.keys.vault import MemoryVault, Vault
from insitu.protocol.messages import IDENTITY, CardRole, Job, Purpose, TrustOption
from insitu.protocol.stores.memory_registry import MemoryRegistry
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.manufacturer import Manufacturer
from insitu.shell.module import Module
from insitu.shell.unit import Unit
from insitu.transports.memory import memory_pair

SERIAL: Final = "SM-000001"
NOW: Final = 1_790_000_000
"""2026-09-21; time stands still here."""
_PINS: Final = {"alice": b"12345", "bob": b"67890"}


def _now() -> int:
    return NOW


def _vault() -> MemoryVault:
    return MemoryVault(secrets.token_bytes)


class Parties:
    """A manufacturer, a unit with its customer's card, a delivered module, a central system's certificate.

    Attributes:
        card: with one job for the module SERIAL, approved by two people.
        module, unit: as they are before they meet.
        module_keys: key memory of the module.

    """

    def __init__(self, card_vault: Vault | None = None, module_vault: Vault | None = None) -> None:
        manufacturer = Manufacturer(_vault(), now=_now)
        root = manufacturer.establish("Example Modules")
        self.card = Card(_vault() if card_vault is None else card_vault, now=_now)
        self.card.install(root, manufacturer.sign_customer(self.card.furnish("Example Bank", _PINS)))
        self.certify(CardRole.UNIT, "Unit 1", self.card.authentication.public)
        request = read_request(Central(_vault(), MemoryRegistry(), now=_now).establish("Central 1"))
        self.unit = Unit(self.card, self.certify(CardRole.CENTRAL, request.subject, request.public), now=_now)
        self.module_keys = _vault() if module_vault is None else module_vault
        self.module = Module(self.module_keys, now=_now)
        self.module.initialize(SERIAL, root, lambda made: manufacturer.certify_identity(made.serial, made.key.public))
        self._approve(self.card.propose(CardRole.MODULE, SERIAL))
        self._delivered = self.module.record
        self._approved = self.card.record
        self._known = self.card._known

    async def meet(self) -> None:
        """One whole personalization of a delivered module, over a link in memory: job, approvals, session."""
        job = self.card.propose(CardRole.MODULE, SERIAL)
        if not job.approvals:  # the first one is approved already
            self._approve(job)
        here, there = memory_pair()
        option = TrustOption.CERTIFICATES
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.module.meet_unit, here, option)
            await self.unit.personalize(there, SERIAL, option)

    def deliver(self) -> None:
        """The module is as delivered; the card goes on."""
        self.module._keeping.commit(self._delivered, frozenset({IDENTITY}))

    def _approve(self, job: Job) -> Job:
        for person, pin in _PINS.items():
            self.card.approve(job, person, pin)
        return job

    def certify(self, role: CardRole, subject: str, public: PublicKey) -> bytes:
        """A certificate by the card, approved by two people."""
        wanted = None if role is CardRole.MODULE else public
        return self.card.certify(self._approve(self.card.propose(role, subject, public=wanted)).number, public)

    def set_back(self) -> None:
        """The module is as delivered, the job as approved; of keys and certificates only the root's key is known."""
        self.deliver()
        self.card._keeping.commit(self._approved)
        self.card._known = self._known
        read_certificate.cache_clear()
        load_public.cache_clear()
        load_public(self.card.root.public)

    def personalization(self, watch: Watch | None = None) -> Pump:
        """Module and unit at the two ends of a link that has just opened."""
        option = TrustOption.CERTIFICATES
        nowhere: Any = Nowhere()
        return Pump(self.module.meet_unit(nowhere, option), self.unit.personalize(nowhere, SERIAL, option), watch=watch)

    def terms(self) -> tuple[ModuleByIdentity, UnitByCertificate]:
        """What both sides pin: their own certificates are verified here, which each does once, when it starts."""
        card = self.card
        return (
            ModuleByIdentity.of(self._delivered, given(self.module_keys.find(IDENTITY))),
            UnitByCertificate.of(card.root, card.customer, card.unit, card.authentication, SERIAL),
        )

    def handshakes(self, module: ModuleByIdentity, unit: UnitByCertificate) -> tuple[Handshake, Handshake]:
        """Both sides of EDHOC, with fresh entropy."""
        ours = Handshake.initiate(module, Purpose.PERSONALIZE, secrets.token_bytes(64))
        return ours, Handshake.respond(unit, {Purpose.PERSONALIZE, Purpose.STATUS}, secrets.token_bytes(64))
