from __future__ import annotations

import copy

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from insitu.protocol.engine import KeyKind, UsageError
from insitu.protocol.keys.drafting import Draft, StandIn
from insitu.protocol.keys.profile import x509_name
from insitu.protocol.keys.public import raw_signature

PRIVATE = ec.derive_private_key(5, ec.SECP256R1())
REPEATABLE = ec.ECDSA(SHA256(), deterministic_signing=True)


def builder(subject: str = "Example") -> x509.CertificateSigningRequestBuilder:
    return x509.CertificateSigningRequestBuilder().subject_name(x509_name(subject))


def test_what_a_stand_in_builds_is_what_the_key_builds():
    expected = builder().sign(PRIVATE, SHA256(), ecdsa_deterministic=True)
    stand_in = StandIn(expected.signature, PRIVATE.public_key())
    assert builder().sign(stand_in, SHA256()) == expected
    assert stand_in.to_be_signed == expected.tbs_certrequest_bytes


def test_a_draft_and_a_signature_make_the_whole():
    draft = Draft.of(builder(), PRIVATE.public_key())
    data = draft.assemble(raw_signature(KeyKind.P256, PRIVATE.sign(draft.to_be_signed, REPEATABLE)))
    request = x509.load_der_x509_csr(data)
    assert request.is_signature_valid
    assert request.tbs_certrequest_bytes == draft.to_be_signed


def test_drafts_are_equal_where_their_bytes_are():
    one, same, other = (Draft.of(builder(name), PRIVATE.public_key()) for name in ("A", "A", "B"))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert repr(one) == f"Draft(to_be_signed={one.to_be_signed!r})"


@pytest.mark.parametrize(
    "use",
    [
        lambda key: key.exchange(ec.ECDH(), PRIVATE.public_key()),
        lambda key: key.private_numbers(),
        lambda key: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        lambda key: key.public_key(),
        copy.copy,
        copy.deepcopy,
    ],
)
def test_a_stand_in_has_nothing_but_its_signature(use):
    key = StandIn(b"signature")
    assert (key.curve.name, key.key_size) == ("secp256r1", 256)
    with pytest.raises(UsageError, match="nothing else to give"):
        use(key)
