"""Key memories in software pass the suite for all key memories; the token's are in test_token.py."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from pki import Pki

from insitu.conformance import KeyStoreConformance, refusal
from insitu.protocol.engine import KeyHandle
from insitu.protocol.keys.certificates import Role
from insitu.protocol.keys.port import KeyMismatch, KeyMissing, KeyStore, check_certificate_matches
from insitu.protocol.keys.software import SoftwareKeyStore
from insitu.protocol.keys.vault import MemoryVault, SealedVault
from insitu.protocol.stores.sealed import Cost, StoreKind
from insitu.protocol.stores.secret import Secret


class TestSoftware(KeyStoreConformance):
    @pytest.fixture(params=["software", "memory vault", "sealed vault"])
    def store(self, request, tmp_path) -> KeyStore:
        stores: dict[str, Callable[[], KeyStore]] = {
            "software": lambda: SoftwareKeyStore(os.urandom),
            "memory vault": lambda: MemoryVault(os.urandom),
            "sealed vault": lambda: SealedVault.create(
                tmp_path / "store", StoreKind.MODULE, Secret(b"x"), entropy=os.urandom, cost=Cost(n=2)
            ),
        }
        return stores[request.param]()

    def test_software_answers_at_once(self, store):
        assert store.answers_at_once


def test_the_suite_misses_no_refusal():
    """What ought to be refused and is not fails, and so does another refusal or another reason."""
    with pytest.raises(AssertionError, match="no KeyMissing"):
        refusal(KeyMissing, lambda: None)
    with pytest.raises(AssertionError, match="is not in"):
        refusal(KeyMissing, lambda: SoftwareKeyStore(os.urandom).destroy("label"), "another reason")
    with pytest.raises(KeyMissing):
        refusal(KeyMismatch, lambda: SoftwareKeyStore(os.urandom).destroy("label"))


def test_a_certificate_for_another_key_is_noticed(pki: Pki):
    holder = pki.issue(Role.MODULE)
    check_certificate_matches(KeyHandle("operating", holder.public), holder.certificate)
    with pytest.raises(KeyMismatch, match="certificate for another key than 'operating'"):
        check_certificate_matches(KeyHandle("operating", pki.customer.public), holder.certificate)
