"""A card's vault whose signing key lies in a token of its own, under a PIN of which two people know a half each (L13).

Everything else of the card is in the vault beside it, which one person can use. A signature takes both halves: they are
held from the approvals to the signature and no longer, and never stored. Nothing of PKCS#11 is here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

from ..engine import InsituError, KeyHandle, KeyKind, StateError
from ..stores.secret import Secret
from .forwarding import ForwardingKeys
from .port import KeyRefused, Memory, Storage
from .vault import Vault

SHORTEST_PART: Final = 8
"""Characters of each half of the PIN."""
CHECK_BYTES: Final = 1
"""Of a half, the card keeps no more than this of its scrypt: enough to notice most slips before the token counts one,
and next to nothing for who has the card's record and guesses: the rest he has to try at the token, which counts."""


class SignersAbsent(StateError):
    """A signature was wanted while the two people did not hold both halves of the PIN."""


class SigningKeys(Protocol):
    """The token with the signing key. Every call with a PIN logs in, and out again."""

    def find(self, label: str) -> KeyHandle | None:
        """The pair, without any PIN; None if there is none."""
        ...

    def check(self, pin: Secret) -> None:
        """Log in and out.

        Raises:
            UsageError: the token refuses the PIN.
            KeyStoreError: the token is not there, or fails.

        """
        ...

    def generate(self, label: str, salt: bytes, pin: Secret) -> tuple[KeyHandle, bool]:
        """Make the pair, P-256, and say whether the token itself asks for the PIN at each signature by it.

        Errors as for KeyStore.generate.
        """
        ...

    def sign(self, key: KeyHandle, message: bytes, pin: Secret) -> bytes:
        """See KeyStore.sign."""
        ...

    def set_pin(self, old: Secret, new: Secret, *, again: bool = False) -> None:
        """Let another PIN count.

        Args:
            old: the one that counts.
            new: the other one.
            again: an attempt before this one may have been cut off once the token had done it: then `new` is tried as
                well, unless the token has but one try left.

        Raises:
            UsageError: `old` does not count, and `new` was not tried or does not either.

        """
        ...

    def set_by_officer(self, officer: Secret, new: Secret) -> None:
        """Let another PIN count, whatever the one before was, by the PIN of the token's security officer.

        Raises:
            UsageError: the token refuses the officer's PIN, or the new one.
            KeyStoreError: the token is not there, or fails.

        """
        ...

    def destroy(self, label: str, pin: Secret) -> None:
        """See KeyStore.destroy."""
        ...


class SplitVault(ForwardingKeys[Vault], Vault):
    """See above. What it keeps of its own is the halves.

    Args:
        beside: where everything else is.
        signing: the other token.
        label: of the signing key, the only one there.
        holders: the two people, in the order of their halves.

    Attributes:
        asks_each_time: whether the token itself asks for the PIN at each signature, since the key was made; or else,
            this program logs in and out again. None: no key was made here.

    """

    def __init__(self, beside: Vault, signing: SigningKeys, label: str, holders: tuple[str, ...]) -> None:
        super().__init__(beside)
        self._signing = signing
        self._label = label
        self._holders = holders
        self._parts: dict[str, Secret] = {}
        self._is_new = False
        self._made: KeyHandle | None = None
        self._found: KeyHandle | None = None
        self.asks_each_time: bool | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._keys!r}>"

    # The halves

    def hold(self, person: str, part: Secret) -> None:
        """Keep a person's half until the signature."""
        self._parts[person] = part

    def forget(self) -> None:
        """Hold nothing any more."""
        self._parts.clear()

    def check(self) -> None:
        """Have the token say whether both halves are right.

        Raises:
            StateError: one is not there.
            UsageError: one is wrong; both are forgotten.
            KeyStoreError: the token is not there, or fails; both are forgotten.

        """
        try:
            self._signing.check(self._pin())
        except InsituError:
            self.forget()
            raise

    def begin(self, present: Secret) -> None:
        """Take the token over from who set it up: from now on its PIN is what these two people hold together.

        The signing key is made at once, since how the token keeps it is to be known before anything rests on it.

        Raises:
            StateError: there is a signing key already.
            UsageError: the present PIN is wrong, or the token takes no such PIN.
            KeyStoreError: it makes no such key; its PIN is the present one again.

        """
        if self._signing.find(self._label) is not None:
            raise StateError("the signing token is in use", who="token", expected="one without a signing key")
        self._signing.set_pin(present, self._pin())
        try:
            self._made = self._make(b"")
        except BaseException:
            self.give_back(present)
            raise

    def _make(self, salt: bytes) -> KeyHandle:
        made, self.asks_each_time = self._signing.generate(self._label, salt, self._pin())
        self._is_new = True
        return made

    def give_back(self, present: Secret) -> None:
        """Undo `begin` and destroy what was made since, as far as that goes."""
        with suppress(InsituError):
            self._signing.destroy(self._label, self._pin())
        with suppress(InsituError):
            self._signing.set_pin(self._pin(), present)

    def change(self, person: str, comes: str, part: Secret) -> None:
        """Set the token's PIN anew, as two people have agreed: `comes` has the half `part` in `person`'s place.

        Done if it was done before, by an attempt that was cut off.

        Raises:
            StateError: an old half is not there.
            UsageError: the token refuses.

        """
        try:
            parts = {**self._parts, person: part}
            new = Secret(b"".join(parts[holder].reveal() for holder in self._holders if holder in parts))
            self._signing.set_pin(self._pin(), new, again=True)
        finally:
            self.forget()
        self._holders = tuple(comes if holder == person else holder for holder in self._holders)

    def set_by_officer(self, officer: Secret) -> None:
        """Let both halves that are held count from now on, whatever counted before; they are forgotten.

        Raises:
            StateError: one is not there.
            UsageError, KeyStoreError: as for SigningKeys.

        """
        try:
            self._signing.set_by_officer(officer, self._pin())
        finally:
            self.forget()

    def _pin(self) -> Secret:
        there = [self._parts[person].reveal() for person in self._holders if person in self._parts]
        if len(there) < len(self._holders):
            expected = f"{' and '.join(self._holders)}, both here"
            raise SignersAbsent("the signing key takes both halves of its PIN", who="card", expected=expected)
        return Secret(b"".join(there))

    # Vault

    @property
    def record(self) -> bytes | None:
        """See Vault."""
        return self._keys.record

    @property
    def durable(self) -> frozenset[str]:
        """See Vault."""
        there = self._pair() is not None and not self._is_new
        return self._keys.durable | ({self._label} if there else frozenset())

    @property
    def memory(self) -> Memory | None:
        """See Vault; the signing token takes nothing more."""
        return self._keys.memory

    @property
    def storage(self) -> Storage:
        """See Vault."""
        return self._keys.storage

    def commit(self, record: bytes, keep: frozenset[str]) -> None:
        """See Vault; the signing key is durable as soon as it is made, and stays."""
        self._keys.commit(record, keep - {self._label})
        self._is_new = self._is_new and self._label not in keep

    def roll_back(self) -> None:
        """See Vault."""
        self._keys.roll_back()
        if self._is_new:
            with suppress(InsituError):
                self._signing.destroy(self._label, self._pin())
            self._is_new, self._made, self._found = False, None, None

    def detach(self) -> None:
        """See Vault."""
        self._keys.detach()

    def close(self) -> None:
        """See Vault; the halves are forgotten."""
        self.roll_back()
        self.forget()
        self._keys.close()

    # KeyStore: the signing key there, everything else beside it

    @property
    def answers_at_once(self) -> bool:
        """Never: a card takes a good part of a second for a signature."""
        return False

    def generate(self, label: str, kind: KeyKind, salt: bytes) -> KeyHandle:
        """See KeyStore."""
        if label != self._label:
            return super().generate(label, kind, salt)
        made, self._made = self._made, None
        return made or self._make(salt)

    def sign(self, key: KeyHandle, message: bytes) -> bytes:
        """See KeyStore; with the signing key once for each time that both halves were held."""
        if key.label != self._label:
            return super().sign(key, message)
        try:
            return self._signing.sign(key, message, self._pin())
        finally:
            if not self._is_new:
                self.forget()

    def find(self, label: str) -> KeyHandle | None:
        """See KeyStore."""
        return self._pair() if label == self._label else super().find(label)

    def _pair(self) -> KeyHandle | None:
        """The signing pair; each signature finds out whether it is still that."""
        self._found = self._found or self._signing.find(self._label)
        return self._found

    def labels(self) -> frozenset[str]:
        """See KeyStore."""
        there = self._pair() is not None
        return super().labels() | ({self._label} if there else frozenset())

    def destroy(self, label: str) -> None:
        """See KeyStore; the signing key is destroyed with its token, by whoever sets that up anew."""
        if label == self._label:
            raise KeyRefused("a signing key in a token of its own", who="token", expected="the token set up anew")
        super().destroy(label)
