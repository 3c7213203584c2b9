from __future__ import annotations

import hashlib

import pytest
from edhoc_pair import Key, vectors
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel.edhoc.credentials import (
    MAX_CHAIN,
    X5T,
    Credential,
    Kccs,
    Kid,
    X5Chain,
    read_ccs,
    read_id_cred,
    write_ccs,
)
from insitu.protocol.engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from insitu.protocol.messages.codec import DecodeError, decode, encode

CERTIFICATES = vectors("edhoc/certs/lake_wg_certs.json")["certs"]
TRACE_1 = vectors("edhoc/rfc9529_trace1_method0_suite0_x5t.json")["values"]
TRACE_2 = vectors("edhoc/rfc9529_trace2_method3_suite6_2_kid_ccs.json")["values"]

P256 = Key(KeyKind.P256, "key").public
KEYS = [Key(kind, "key").public for kind in KeyKind]

id_creds = st.one_of(
    st.builds(Kid, st.binary(max_size=40)),
    st.builds(X5Chain, st.lists(st.binary(max_size=300), min_size=1, max_size=MAX_CHAIN).map(tuple)),
    st.builds(X5T.of, st.binary(max_size=40), st.sampled_from([-15, -16, -43, -44])),
    st.builds(Kccs, st.sampled_from([write_ccs(key, subject=name) for key in KEYS for name in (None, "name")])),
)


@given(id_creds)
def test_id_cred_there_and_back(id_cred):
    assert read_id_cred(decode(id_cred.compact)) == id_cred
    header = decode(id_cred.encoded)
    assert isinstance(header, dict)
    assert len(header) == 1


@pytest.mark.parametrize(
    ("id_cred", "compact", "encoded"),
    [
        (Kid(b"\xff"), "41ff", "a10441ff"),
        (Kid(b"\x21"), "21", "a1044121"),
        (Kid(b""), "40", "a10440"),
        (Kid(b"abc"), "43616263", "a10443616263"),
        (X5T(-15, bytes(8)), "a11822822e480000000000000000", "a11822822e480000000000000000"),
        (X5Chain((b"a",)), "a118214161", "a118214161"),
        (X5Chain((b"a", b"b")), "a118218241614162", "a118218241614162"),
        (Kccs(b"\xa0"), "a10ea0", "a10ea0"),
    ],
)
def test_encodings(id_cred, compact, encoded):
    """RFC 9528 section 3.5.3.2, RFC 9360 section 2."""
    assert id_cred.compact.hex() == compact
    assert id_cred.encoded.hex() == encoded


@pytest.mark.parametrize("values", [TRACE_1, TRACE_2], ids=["x5t", "kid"])
@pytest.mark.parametrize("side", "ir")
def test_the_traces(values, side):
    """What they send is what is made of their credentials."""
    cred = bytes.fromhex(values[f"cred_{side}"])
    if "pk_i_raw" in values:
        certificate = decode(cred)
        assert type(certificate) is bytes
        public = PublicKey(KeyKind.ED25519, bytes.fromhex(values[f"pk_{side}_raw"]))
        made = Credential.x5t(certificate, public)
    else:
        kid = decode(bytes.fromhex(values[f"id_cred_{side}"]))[4]  # type: ignore[index, call-overload]
        made = Credential.kid(cred, kid)  # type: ignore[arg-type]
        x, y = (bytes.fromhex(values[f"pk_{side}_{each}_raw"]) for each in "xy")
        assert made.public == PublicKey(KeyKind.P256, b"\x04" + x + y)
    assert made.cred == cred
    assert made.id_cred.encoded.hex() == values[f"id_cred_{side}"]
    assert made.id_cred.identifies(cred)


@pytest.mark.parametrize("name", CERTIFICATES)
@pytest.mark.parametrize(("algorithm", "digest"), [(-16, "sha256"), (-43, "sha384"), (-44, "sha512")])
def test_x5t(name, algorithm, digest):
    der = bytes.fromhex(CERTIFICATES[name]["der"])
    made = X5T.of(der, algorithm)
    assert made.digest == hashlib.new(digest, der).digest()
    assert made.identifies(encode(der))
    assert not made.identifies(encode(der + b"\x00"))
    assert not made.identifies(encode({1: 2}))
    assert X5T.of(der) == X5T(-15, hashlib.sha256(der).digest()[:8])


def test_what_identifies_what():
    """S11: by value the whole credential is compared."""
    ccs, other = write_ccs(P256, subject="a"), write_ccs(P256, subject="b")
    assert Kccs(ccs).identifies(ccs)
    assert not Kccs(ccs).identifies(other)
    assert X5Chain((b"leaf", b"issuer")).identifies(encode(b"leaf"))
    assert not X5Chain((b"leaf", b"issuer")).identifies(encode(b"issuer"))
    assert Kid(b"").identifies(ccs)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({4: b"\x32\x10"}, "without a map"),
        (b"\x32", "integer of one byte"),
        (24, "integer of one byte"),
        ({}, "one header parameter"),
        ({4: b"a", 14: {}}, "one header parameter"),
        ("text", "one header parameter"),
        (True, "one header parameter"),
        (None, "one header parameter"),
        ((1,), "one header parameter"),
        ({33: (b"a",)}, "header parameter 33"),
        ({33: ()}, "header parameter 33"),
        ({33: (b"a", "b")}, "header parameter 33"),
        ({33: (b"a",) * (MAX_CHAIN + 1)}, "header parameter 33"),
        ({34: (-15,)}, "header parameter 34"),
        ({34: (-14, bytes(20))}, "header parameter 34"),
        ({34: (True, bytes(8))}, "header parameter 34"),
        ({34: (-15, bytes(7))}, "8 bytes"),
        ({34: (-16, bytes(8))}, "32 bytes"),
        ({14: b"ccs"}, "header parameter 14"),
        ({35: "uri"}, "header parameter 35"),
        ({13: (b"", {}, b"", b"")}, "header parameter 13"),
        ({"kid": b"a"}, "header parameter kid"),
    ],
)
def test_what_is_no_id_cred(item, reason):
    with pytest.raises(DecodeError) as caught:
        read_id_cred(item)
    assert reason in str(caught.value)


def test_a_chain_has_eight_certificates_at_most():
    assert MAX_CHAIN == 8
    assert len(X5Chain((b"a",) * 8).certificates) == 8


@pytest.mark.parametrize("count", [0, MAX_CHAIN + 1])
def test_chains_that_cannot_be_sent(count):
    with pytest.raises(UsageError, match="x5chain"):
        X5Chain((b"a",) * count)


def test_hash_algorithms_that_cannot_be_used():
    with pytest.raises(UsageError, match="x5t"):
        X5T.of(b"certificate", -14)


@pytest.mark.parametrize("public", KEYS, ids=lambda public: public.kind.value)
@pytest.mark.parametrize("subject", [None, "42-50-31-FF-EF-37-32-39"])
@pytest.mark.parametrize("kid", [None, b"\x00"])
def test_ccs_there_and_back(public, subject, kid):
    ccs = write_ccs(public, subject=subject, kid=kid)
    assert read_ccs(ccs) == public
    claims = decode(ccs)
    assert isinstance(claims, dict)
    key = claims[8][1]
    assert [claims[label] for label in claims if label == 2] == ([] if subject is None else [subject])
    assert [key[label] for label in key if label == 2] == ([] if kid is None else [kid])
    for made in (Credential.kccs(ccs), Credential.kid(ccs, b"\x00")):
        assert (made.cred, made.public) == (ccs, public)


def test_ccs_in_its_simplest_form():
    """RFC 9528 section 3.5.2: a COSE_Key with 0xa108a101 before it."""
    assert write_ccs(P256).startswith(bytes.fromhex("a108a101"))


X, Y = P256.data[1:33], P256.data[33:]


def ccs_of(key):
    return encode({8: {1: key}})


def test_ec2_keys_with_x_alone_or_the_sign_of_y():
    odd = Y[-1] & 1 == 1
    assert read_ccs(ccs_of({1: 2, -1: 1, -2: X, -3: odd})) == P256
    negated = read_ccs(ccs_of({1: 2, -1: 1, -2: X, -3: not odd}))
    assert negated.data[:33] == P256.data[:33]
    assert negated != P256
    alone = read_ccs(ccs_of({1: 2, -1: 1, -2: X}))
    assert alone in (P256, negated)
    assert alone.data[-1] & 1 == 0


@pytest.mark.parametrize(
    ("ccs", "reason", "fault"),
    [
        (encode(1), "cnf claim", Fault.MALFORMED),
        (encode({}), "cnf claim", Fault.MALFORMED),
        (encode({8: b""}), "cnf claim", Fault.MALFORMED),
        (encode({8: {}}), "cnf claim", Fault.MALFORMED),
        (ccs_of(1), "cnf claim", Fault.MALFORMED),
        (ccs_of({}), "P-256, P-384, X25519 or Ed25519", Fault.UNSUPPORTED),
        (ccs_of({1: 2, -1: 1, -2: X, -3: Y, -4: bytes(32)}), "public COSE_Key", Fault.MALFORMED),
        (ccs_of({1: 2, -1: 3, -2: X, -3: Y}), "P-256, P-384, X25519 or Ed25519", Fault.UNSUPPORTED),
        (ccs_of({1: 1, -1: 1, -2: X}), "P-256, P-384, X25519 or Ed25519", Fault.UNSUPPORTED),
        (ccs_of({1: True, -1: 4, -2: X}), "P-256, P-384, X25519 or Ed25519", Fault.UNSUPPORTED),
        (ccs_of({1: 2, -1: 1, -3: Y}), "x as a byte string", Fault.MALFORMED),
        (ccs_of({1: 2, -1: 1, -2: X, -3: 1}), "y as a boolean", Fault.MALFORMED),
        (ccs_of({1: 2, -1: 1, -2: X, -3: X}), "not a public key", Fault.MALFORMED),
        (ccs_of({1: 2, -1: 1, -2: X[1:], -3: Y}), "as long as x", Fault.MALFORMED),
        (ccs_of({1: 2, -1: 1, -2: X[:-1], -3: X[-1:] + Y}), "as long as x", Fault.MALFORMED),
        (ccs_of({1: 2, -1: 1, -2: X[1:], -3: Y[1:]}), "not a public key", Fault.MALFORMED),
        (ccs_of({1: 2, -1: 1, -2: b"\xff" * 32}), "not a public key", Fault.MALFORMED),
        (ccs_of({1: 1, -1: 4, -2: bytes(31)}), "not a public key", Fault.MALFORMED),
        (ccs_of({1: 1, -1: 6, -2: bytes(33)}), "not a public key", Fault.MALFORMED),
        (write_ccs(P256) + b"\x00", "bytes after the item", Fault.MALFORMED),
        (b"\xa1\x18\x08\xa1\x01\xa0", "not the shortest encoding", Fault.MALFORMED),
    ],
)
def test_what_is_no_ccs(ccs, reason, fault):
    with pytest.raises(ProtocolError) as caught:
        read_ccs(ccs)
    assert reason in str(caught.value)
    assert caught.value.fault is fault
