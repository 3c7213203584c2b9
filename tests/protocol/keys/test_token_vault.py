"""Vaults in a token, by the example of SoftHSM."""

from __future__ import annotations

import pytest

from insitu.conformance import DurableVaultConformance, SymmetricKeyConformance
from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.token_vault import TokenVault
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret

URI = read_uri("pkcs11:token=insitu")


def opened(soft_tokens, kind=StoreKind.CARD) -> TokenVault:
    return TokenVault.open(soft_tokens.library, URI, kind, Secret(soft_tokens.pin.encode()))


def created(soft_tokens, kind=StoreKind.CARD) -> TokenVault:
    return TokenVault.create(soft_tokens.library, URI, kind, Secret(soft_tokens.pin.encode()))


@pytest.fixture
def vault(soft_tokens):
    soft_tokens.clear()
    with created(soft_tokens) as vault:
        yield vault


@pytest.fixture
def reopen(soft_tokens):
    again: list[TokenVault] = []

    def reopen() -> TokenVault:
        for each in again:
            each.close()
        again.append(opened(soft_tokens))
        return again[-1]

    yield reopen
    for each in again:
        each.close()


class TestTokenVault(DurableVaultConformance):
    @pytest.fixture
    def vault(self, vault):
        return vault

    @pytest.fixture
    def reopen(self, reopen):
        return reopen


class TestSymmetricKeys(SymmetricKeyConformance):
    @pytest.fixture
    def store(self, vault):
        return vault._token
