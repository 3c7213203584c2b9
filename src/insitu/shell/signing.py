"""The token with a card's signing key, whose PIN two people hold together (L13): taken over, found by the record."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..protocol.engine import UsageError
from ..protocol.keys.pkcs11_uri import TokenUri, read_uri
from ..protocol.keys.split_vault import SHORTEST_PART, SplitVault
from ..protocol.keys.vault import Vault
from ..protocol.messages import RECORD_LIMITS, CardRecord, decode_record
from ..protocol.parties.card_data import SIGNING
from ..protocol.stores.secret import Secret
from .token_library import library_of


def with_signing_token(vault: Vault) -> Vault:
    """A card's vault; with its signing token, if it has one."""
    record = None if vault.record is None else decode_record(CardRecord, vault.record, **RECORD_LIMITS)
    if record is None or record.signing is None:
        return vault
    return _split(vault, record.signing, tuple(person.name for person in record.people))


def signing_uri(text: str) -> TokenUri:
    """The token that somebody wrote.

    Raises:
        UsageError: it is none.

    """
    uri = read_uri(text)
    library_of(uri)
    return uri


def recorded(uri: TokenUri) -> str:
    """The URI as the card keeps it: without the place of a PIN."""
    path, _, query = uri.text.partition("?")
    rest = "&".join(each for each in query.split("&") if each and not each.startswith("pin-"))
    return f"{path}?{rest}" if rest else path


@contextmanager
def taken_over(vault: Vault, uri: TokenUri, present: Secret, pins: Mapping[str, bytes]) -> Iterator[SplitVault]:
    """A new card's vault with a signing token, of which from now on two people hold the PIN together.

    Nobody knows all of it: who set the token up knew the PIN of before, and each of the two knows a half of the new.
    If the block fails, the token is as it was.

    Args:
        vault: where everything else of the card is.
        uri: the signing token.
        present: its PIN until now.
        pins: of both people, in the order of their halves.

    Raises:
        UsageError: not two people, a half that is too short, a PIN that the token refuses.
        StateError: there is a signing key already.

    """
    if len(pins) != 2:
        raise UsageError("who holds the signing token's PIN", who="card", expected="two people", got=len(pins))
    for person, pin in pins.items():
        if len(pin) < SHORTEST_PART:
            expected = f"at least {SHORTEST_PART} characters, for half of a token's PIN"
            raise UsageError(f"PIN of {person}", who="card", expected=expected, got=len(pin))
    split = _split(vault, recorded(uri), tuple(pins))
    for person, pin in pins.items():
        split.hold(person, Secret(pin))
    try:
        split.begin(present)
        try:
            yield split
        except BaseException:
            split.give_back(present)
            raise
    finally:
        split.forget()


def _split(vault: Vault, text: str, holders: tuple[str, ...]) -> SplitVault:
    from ..protocol.keys.signing_token import SigningToken  # the library is needed only by who has such a token

    uri = read_uri(text)
    return SplitVault(vault, SigningToken(library_of(uri), uri, secrets.token_bytes), SIGNING, holders)
