"""A token of its own for a card's signing key (L13): PKCS#11, a login for each signature and no longer.

The key is made with CKA_ALWAYS_AUTHENTICATE where the token takes that: then the token itself asks for the PIN at each
signature (C_Login with CKU_CONTEXT_SPECIFIC). Where it does not, the login and logout around each signature are all
there is. The public key is read without any PIN; a signature that does not hold for it is not given out.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ..engine import KeyHandle, KeyKind, PublicKey
from ..stores.secret import Entropy, Secret, Uncopied
from .pkcs11_uri import TokenUri
from .port import KeyExists, KeyMismatch, KeyMissing, brief
from .token import CURVES, check_kept, checked_signature, found_in, public_in, sign_in_token
from .token_access import PinWrong, TokenAccess, find_token, opened_by_officer, text_of, turn_of, typed
from .token_secrets import MADE_MUST_BE, SECRET_MUST_BE, TokenObject

from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass, exceptions  # isort: skip
from pkcs11.constants import TokenFlag  # isort: skip
from pkcs11.types import Session  # isort: skip

_SPACE: Final = "insitu card "
"""How the labels of a card's keys begin in a token, here as where a whole card is in one."""
_REFUSED: Final = (exceptions.TemplateInconsistent, exceptions.AttributeTypeInvalid, exceptions.AttributeValueInvalid)
"""What a token says that does not know CKA_ALWAYS_AUTHENTICATE."""


class SigningToken(Uncopied):
    """SigningKeys in a token.

    Args:
        library: path of the token's PKCS#11 library.
        uri: which token.
        entropy: names pairs.

    """

    def __init__(self, library: str, uri: TokenUri, entropy: Entropy) -> None:
        self._library = library
        self._uri = uri
        self._entropy = entropy

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._library}>"

    def find(self, label: str) -> KeyHandle | None:
        """See SigningKeys."""
        try:
            with turn_of(self._library), find_token(self._library, self._uri).open() as session:
                public = public_in(session, _SPACE + label)
        except exceptions.PKCS11Error as error:
            raise typed(error) from error
        return None if public is None else KeyHandle(label, public)

    def check(self, pin: Secret) -> None:
        """See SigningKeys."""
        self._open(pin).close()

    def generate(self, label: str, salt: bytes, pin: Secret) -> tuple[KeyHandle, bool]:
        """See SigningKeys; a pair that could leave the token is destroyed and refused (M1)."""
        with self._open(pin) as access, access.calling() as session:
            if found_in(session, _SPACE + label, ObjectClass.PRIVATE_KEY):
                raise KeyExists("label is taken", who="token", expected="a new label", got=label)
            if salt:
                session.seed_random(salt)
            public, private = self._made(session, label)
            try:
                check_kept(label, private, MADE_MUST_BE)
                made = self._public(session, label)
                asks_each_time = _asks_each_time(private)  # whatever was asked for: what counts is what it says
            except BaseException:
                with suppress(exceptions.PKCS11Error):
                    public.destroy()
                private.destroy()
                raise
            return KeyHandle(label, made), asks_each_time

    def _made(self, session: Session, label: str) -> tuple[TokenObject, TokenObject]:
        """The pair, public half first; with CKA_ALWAYS_AUTHENTICATE, unless the token refuses that."""
        parameters = session.create_domain_parameters(
            KeyType.EC, {Attribute.EC_PARAMS: CURVES[KeyKind.P256]}, local=True
        )

        def pair(**more: bool) -> tuple[TokenObject, TokenObject]:
            return parameters.generate_keypair(
                id=self._entropy(16),
                label=_SPACE + label,
                store=True,
                capabilities=MechanismFlag.SIGN,
                mechanism=Mechanism.EC_KEY_PAIR_GEN,
                private_template={**SECRET_MUST_BE, **{Attribute[name]: value for name, value in more.items()}},
            )

        try:
            return pair(ALWAYS_AUTHENTICATE=True)
        except _REFUSED:
            return pair()

    @staticmethod
    def _public(session: Session, label: str) -> PublicKey:
        public = public_in(session, _SPACE + label)
        if public is None:
            raise KeyMissing("no public key was made", who="token", expected=label)
        return public

    def sign(self, key: KeyHandle, message: bytes, pin: Secret) -> bytes:
        """See SigningKeys; hashed here, signed there, and verified here before it is given out."""
        with self._open(pin) as access, access.calling() as session:
            found = found_in(session, _SPACE + key.label, ObjectClass.PRIVATE_KEY)
            if len(found) != 1:
                raise KeyMissing("no such key", who="token", expected=key.label, got=f"{len(found)} of that label")
            check_kept(key.label, found[0], MADE_MUST_BE)
            there = public_in(session, _SPACE + key.label)
            if there != key.public:
                raise KeyMismatch("another signing key", who="token", expected=brief(key.public))
            again = {"pin": text_of(pin)} if _asks_each_time(found[0]) else {}
            signature = sign_in_token(found[0], key.public.kind, message, **again)
        return checked_signature(key.public, message, signature)

    def set_pin(self, old: Secret, new: Secret, *, again: bool = False) -> None:
        """See SigningKeys (C_SetPIN by the user)."""
        try:
            access = self._open(old)
        except PinWrong:
            if not again or self._has_one_try_left():
                raise
            self.check(new)
            return
        with access, access.calling() as session:
            session.set_pin(text_of(old), text_of(new))

    def set_by_officer(self, officer: Secret, new: Secret) -> None:
        """See SigningKeys (C_InitPIN by the security officer)."""
        with opened_by_officer(self._library, self._uri, officer) as session:
            session.init_pin(text_of(new))

    def _has_one_try_left(self) -> bool:
        try:
            return TokenFlag.USER_PIN_FINAL_TRY in find_token(self._library, self._uri).flags
        except exceptions.PKCS11Error as error:
            raise typed(error) from error

    def destroy(self, label: str, pin: Secret) -> None:
        """See SigningKeys; the private key goes first."""
        with self._open(pin) as access, access.calling() as session:
            for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
                for each in found_in(session, _SPACE + label, kind):
                    each.destroy()

    def _open(self, pin: Secret) -> TokenAccess:
        return TokenAccess.open(self._library, self._uri, pin)


def _asks_each_time(private: TokenObject) -> bool:
    try:
        return bool(private[Attribute.ALWAYS_AUTHENTICATE])
    except exceptions.AttributeTypeInvalid:
        return False
