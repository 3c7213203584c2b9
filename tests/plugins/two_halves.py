"""A signing token in memory, for tests of what is done with the halves of its PIN: it takes one and counts tries."""

from __future__ import annotations

from world import PINS, Seeded, World

from insitu.protocol.engine import KeyHandle, KeyKind, UsageError
from insitu.protocol.keys.software import SoftwareKeyStore
from insitu.protocol.keys.split_vault import SplitVault
from insitu.protocol.parties.card_data import SIGNING
from insitu.protocol.stores.secret import Secret
from insitu.shell.card import Card

PRESENT = Secret(b"whoever set it up")
OFFICER = Secret(b"its security officer")
NAME = "pkcs11:token=signing"


class MemoryToken:
    """SigningKeys.

    Attributes:
        wrong: how often a PIN was refused.
        signed: how often it signed.
        asks: whether it says that it asks for the PIN at each signature.

    """

    def __init__(self, keys: SoftwareKeyStore) -> None:
        self.asks = True
        self._keys = keys
        self._pin = PRESENT
        self.wrong = 0
        self.signed = 0

    def check(self, pin: Secret) -> None:
        if pin != self._pin:
            self.wrong += 1
            raise UsageError("PIN refused", who="token")

    def find(self, label: str) -> KeyHandle | None:
        return self._keys.find(label)

    def generate(self, label: str, salt: bytes, pin: Secret) -> tuple[KeyHandle, bool]:
        self.check(pin)
        return self._keys.generate(label, KeyKind.P256, salt), self.asks

    def set_by_officer(self, officer: Secret, new: Secret) -> None:
        if officer != OFFICER:
            raise UsageError("PIN refused", who="token")
        self._pin = new

    def sign(self, key: KeyHandle, message: bytes, pin: Secret) -> bytes:
        self.check(pin)
        self.signed += 1
        return self._keys.sign(key, message)

    def set_pin(self, old: Secret, new: Secret, *, again: bool = False) -> None:
        try:
            self.check(old)
        except UsageError:
            if not again:
                raise
            self.check(new)
        self._pin = new

    def destroy(self, label: str, pin: Secret) -> None:
        self.check(pin)
        self._keys.destroy(label)


def held(split: SplitVault) -> None:
    """Both people have entered their halves."""
    for person, pin in PINS.items():
        split.hold(person, Secret(pin))


def two_halves(world: World, name: str = "halves") -> tuple[SplitVault, MemoryToken]:
    """A blank card's vault with a signing token that these people have taken over."""
    token = MemoryToken(SoftwareKeyStore(Seeded(f"{world.seed}/{name} token"), repeatable=True))
    split = SplitVault(world.vault(name), token, SIGNING, tuple(PINS))
    held(split)
    split.begin(PRESENT)
    return split, token


def furnished(world: World, split: SplitVault) -> Card:
    """The card, in use."""
    card = Card(split, now=world.clock)
    request = card.furnish("Halves Bank", PINS, signing=NAME)
    split.forget()
    card.install(world.root, world.manufacturer.sign_customer(request))
    return card
