"""COSE: every file of the working group's examples, and what lies beside them."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from edhoc_pair import VECTORS, Key, vectors
from hypothesis import given
from hypothesis import strategies as st

from insitu.protocol.channel import cose
from insitu.protocol.channel.cose import AEADS, EDDSA, ES256, ES384, KEY_KINDS, Encrypt0, Sign1
from insitu.protocol.engine import Fault, KeyKind, ProtocolError, PublicKey, UsageError
from insitu.protocol.messages.codec import DecodeError, decode, encode

FILES = sorted(str(path.relative_to(VECTORS)) for path in (VECTORS / "cose").glob("*/*.json"))

OUTSIDE = {
    "cose/eddsa-examples/eddsa-01.json": "COSE_Sign with a list of signers (tag 98)",
    "cose/eddsa-examples/eddsa-02.json": "COSE_Sign with a list of signers (tag 98)",
    "cose/eddsa-examples/eddsa-sig-02.json": "Ed448, which no key memory here holds",
}
"""Files outside the subset, with the reason; each is refused."""

FAILURES = {
    "cose/encrypted-tests/enc-fail-01.json": "a tag that has no place here at byte 0 (expected no tag, got tag 995",
    "cose/encrypted-tests/enc-fail-02.json": "ciphertext does not authenticate",
    "cose/encrypted-tests/enc-fail-03.json": "content encryption algorithm (expected [1, 3, 10, 30], got -999",
    "cose/encrypted-tests/enc-fail-04.json": "algorithm (expected a known number, got a text string",
    "cose/encrypted-tests/enc-fail-06.json": "ciphertext does not authenticate",
    "cose/encrypted-tests/enc-fail-07.json": "ciphertext does not authenticate",
    "cose/sign1-tests/sign-fail-01.json": "a tag that has no place here at byte 0 (expected no tag, got tag 998",
    "cose/sign1-tests/sign-fail-02.json": "signature does not hold",
    "cose/sign1-tests/sign-fail-03.json": "signature algorithm (expected ES256, ES384 or EdDSA, got -999",
    "cose/sign1-tests/sign-fail-04.json": "algorithm (expected a known number, got a text string",
    "cose/sign1-tests/sign-fail-06.json": "signature does not hold",
    "cose/sign1-tests/sign-fail-07.json": "signature does not hold",
}
KINDS = {"P-256": KeyKind.P256, "P-384": KeyKind.P384, "Ed25519": KeyKind.ED25519}
SIGNERS = {ES256: Key(KeyKind.P256, "k"), ES384: Key(KeyKind.P384, "k"), EDDSA: Key(KeyKind.ED25519, "k")}


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def public_of(key: dict[str, str]) -> PublicKey:
    if key["kty"] == "OKP":
        return PublicKey(KINDS[key["crv"]], bytes.fromhex(key["x_hex"]))
    return PublicKey(KINDS[key["crv"]], b"\x04" + octets(key["x"]) + octets(key["y"]))


def process(case: dict[str, Any]) -> tuple[bytes, bytes, bytes]:
    """Content, structure and re-encoding of a message that is in order."""
    data = bytes.fromhex(case["output"]["cbor"])
    tagged = data[0] >= 0xC0
    if "sign0" in case["input"]:
        given = case["input"]["sign0"]
        external = bytes.fromhex(given.get("external", ""))
        message = Sign1.decode(data)
        content = message.verify(public_of(given["key"]), external_aad=external)
        return content, message.to_be_signed(external_aad=external), message.encode(tagged=tagged)
    given = case["input"]["encrypted"]
    external = bytes.fromhex(given.get("external", ""))
    sealed = Encrypt0.decode(data)
    content = sealed.open(octets(given["recipients"][0]["key"]["k"]), external_aad=external)
    return content, cose.enc_structure(sealed.protected, external), sealed.encode(tagged=tagged)


def test_every_file_is_accounted_for():
    failing = {name for name in FILES if vectors(name).get("fail")}
    assert len(FILES) == 25
    assert failing == FAILURES.keys()
    assert OUTSIDE.keys() <= set(FILES) - failing


@pytest.mark.parametrize("name", [name for name in FILES if name not in FAILURES and name not in OUTSIDE])
def test_examples(name):
    case = vectors(name)
    content, structure, again = process(case)
    assert content == case["input"]["plaintext"].encode()
    intermediates = case["intermediates"]
    assert structure.hex().upper() == intermediates.get("ToBeSign_hex", intermediates.get("AAD_hex"))
    if "41A0" not in case["output"]["cbor"]:  # an empty protected map comes back as the empty string
        assert again.hex().upper() == case["output"]["cbor"]


@pytest.mark.parametrize("name", FAILURES)
def test_failures(name):
    case = vectors(name)
    assert case["fail"]
    with pytest.raises(ProtocolError) as caught:
        process(case)
    assert FAILURES[name] in str(caught.value)


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_is_refused(name):
    case = vectors(name)
    data = bytes.fromhex(case["output"]["cbor"])
    if "signers" in OUTSIDE[name]:
        for kind in (Sign1, Encrypt0):
            with pytest.raises(DecodeError, match="expected no tag, got tag 98"):
                kind.decode(data)
        return
    message = Sign1.decode(data)
    assert message.to_be_signed().hex().upper() == case["intermediates"]["ToBeSign_hex"]
    for public in (SIGNERS[EDDSA].public, SIGNERS[ES256].public):
        with pytest.raises(ProtocolError, match="signature does not hold"):
            message.verify(public)


@pytest.mark.parametrize("name", [name for name in FILES if name not in FAILURES and name not in OUTSIDE])
def test_a_message_of_one_kind_is_none_of_the_other(name):
    case = vectors(name)
    data = bytes.fromhex(case["output"]["cbor"])
    with pytest.raises(DecodeError):
        (Encrypt0 if "sign0" in case["input"] else Sign1).decode(data)


@pytest.mark.parametrize("algorithm", SIGNERS)
@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("tagged", [False, True])
def test_sign1_there_and_back(algorithm, detached, tagged):
    key = SIGNERS[algorithm]
    signature = key.sign(cose.to_be_signed(algorithm, b"payload", external_aad=b"context"))
    made = cose.assemble_sign1(algorithm, signature, None if detached else b"payload", unprotected={4: b"kid"})
    message = Sign1.decode(made.encode(tagged=tagged))
    assert (made.encode() == made.encode(tagged=tagged)) is tagged
    assert message == made
    assert message.unprotected == {4: b"kid"}
    outside = {"payload": b"payload"} if detached else {}
    assert message.verify(key.public, external_aad=b"context", **outside) == b"payload"
    for wrong in ({"external_aad": b""}, {"external_aad": b"context "}):
        with pytest.raises(ProtocolError, match="does not hold"):
            message.verify(key.public, **wrong, **outside)
    with pytest.raises(ProtocolError, match="does not hold"):
        message.verify(Key(key.kind, "another").public, external_aad=b"context", **outside)
    with pytest.raises(UsageError, match="enclosed or given"):
        message.verify(key.public, external_aad=b"context", **({} if detached else {"payload": b"payload"}))


def test_a_key_is_for_its_algorithm_only():
    for algorithm, key in SIGNERS.items():
        message = cose.to_be_signed(algorithm, b"")
        signature = key.sign(message)
        assert cose.verify_signature(algorithm, key.public, message, signature)
        for other in KEY_KINDS.keys() - {algorithm}:
            assert not cose.verify_signature(other, key.public, message, signature)
        for wrong in (b"", signature[:-1], signature + b"\x00", bytes(len(signature))):
            assert not cose.verify_signature(algorithm, key.public, message, wrong)


def test_a_public_key_that_is_none():
    with pytest.raises(ProtocolError, match="not a public key"):
        cose.verify_signature(ES256, PublicKey(KeyKind.P256, b"\x04" + bytes(64)), b"", bytes(64))


@pytest.mark.parametrize("size", [0, 63, 65, 96])
def test_a_signature_of_the_wrong_length_is_not_assembled(size):
    with pytest.raises(UsageError, match="signature"):
        cose.assemble_sign1(ES256, bytes(size), b"")


@pytest.mark.parametrize("aead", AEADS.values(), ids=lambda aead: str(aead.number))
@pytest.mark.parametrize("tagged", [False, True])
def test_encrypt0_there_and_back(aead, tagged):
    key, iv = bytes(range(aead.key_bytes)), bytes(aead.nonce_bytes)
    made = Encrypt0.seal(aead, key, iv, b"plaintext", unprotected={4: b"kid"}, external_aad=b"context")
    message = Encrypt0.decode(made.encode(tagged=tagged))
    assert (made.encode() == made.encode(tagged=tagged)) is tagged
    assert message == made
    assert message.ciphertext is not None
    assert len(message.ciphertext) == len(b"plaintext") + aead.tag_bytes
    assert message.open(key, external_aad=b"context") == b"plaintext"
    detached = Encrypt0(message.protected, message.unprotected, None)
    assert Encrypt0.decode(detached.encode()).open(
        key, ciphertext=message.ciphertext, external_aad=b"context"
    ) == b"plaintext"  # fmt: skip
    for wrong_key, context in ((key, b""), (bytes(aead.key_bytes), b"context")):
        with pytest.raises(ProtocolError, match="does not authenticate"):
            message.open(wrong_key, external_aad=context)
    for position in range(len(message.ciphertext)):
        changed = bytearray(message.ciphertext)
        changed[position] ^= 1
        with pytest.raises(ProtocolError, match="does not authenticate"):
            Encrypt0(message.protected, message.unprotected, bytes(changed)).open(key, external_aad=b"context")


def test_an_algorithm_for_another_length_of_key_is_the_peers_fault():
    made = Encrypt0.seal(AEADS[3], bytes(32), bytes(12), b"")
    with pytest.raises(ProtocolError, match="one for a key of 16 bytes"):
        made.open(bytes(16))


@pytest.mark.parametrize(("key", "nonce"), [(15, 13), (16, 12), (32, 13)])
def test_lengths_that_the_caller_gets_wrong(key, nonce):
    for use in (AEADS[30].seal, AEADS[30].open):
        with pytest.raises(UsageError, match="lengths"):
            use(bytes(key), bytes(nonce), b"", b"")


@pytest.mark.parametrize("iv", [None, 5, b"", bytes(11), bytes(13)])
def test_an_iv_that_is_none(iv):
    headers = {} if iv is None else {5: iv}
    with pytest.raises(ProtocolError, match="IV") as caught:
        Encrypt0(encode({1: 1}), headers, bytes(16)).open(bytes(16))
    assert caught.value.fault is Fault.MALFORMED


def test_too_short_for_a_tag():
    with pytest.raises(ProtocolError, match="does not authenticate"):
        Encrypt0(encode({1: 1}), {5: bytes(12)}, b"short").open(bytes(16))


def sign1(protected: object, unprotected: object = None, payload: object = b"", signature: object = bytes(64)) -> bytes:
    return encode([protected, {} if unprotected is None else unprotected, payload, signature])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ends inside"),
        (b"\xd2", "ends inside"),
        (b"\xd2\xd2" + sign1(b""), "got tag 18"),
        (b"\xd1" + sign1(b""), "got tag 17"),
        (encode([b"", {}, b""]), "an array of 4"),
        (encode({}), "an array of 4"),
        (sign1({}), "a byte string and a map"),
        (sign1(b"", []), "a byte string and a map"),
        (sign1(encode([])), "protected COSE header"),
        (sign1(b"\xa1\x01"), "ends inside"),
        (sign1(b"\xa2\x01\x26\x01\x26"), "a map key twice"),
        (sign1(encode({1: -7}), {1: -7}), "each label once"),
        (sign1(b"", {2: [1]}), "crit among the protected"),
        (sign1(encode({2: [1, 99], 99: 0})), "not understood"),
        (sign1(encode({2: ["private"]})), "not understood"),
        (sign1(encode({2: []})), "not understood"),
        (sign1(encode({2: 1})), "not understood"),
        (sign1(b"", {}, "text"), "a byte string or null"),
        (sign1(b"", {}, b"", None), "signature of COSE_Sign1"),
        (sign1(b"") + b"\x00", "bytes after"),
    ],
)
def test_what_is_no_sign1(data, reason):
    with pytest.raises(DecodeError) as caught:
        Sign1.decode(data)
    assert reason in str(caught.value)


def test_critical_headers_that_are_understood():
    protected = encode({1: -7, 2: [1, 2, 3, 4, 5], 3: 0, 4: b"key", 5: bytes(13)})
    key = SIGNERS[ES256]
    data = sign1(protected, {}, b"x", key.sign(cose.sig_structure(protected, b"", b"x")))
    assert Sign1.decode(data).verify(key.public) == b"x"


def test_no_algorithm_at_all():
    with pytest.raises(ProtocolError, match="algorithm") as caught:
        Sign1.decode(sign1(b"")).verify(SIGNERS[ES256].public)
    assert caught.value.fault is Fault.UNSUPPORTED


@given(st.binary(max_size=70_000))
def test_octets_are_what_the_codec_says(data):
    assert cose.octets(data) == encode(data)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_octets_at_every_head(size):
    assert cose.octets(bytes(size)) == encode(bytes(size))


@given(st.binary(max_size=30), st.binary(max_size=300), st.binary(max_size=300))
def test_structures_are_what_the_codec_says(protected, external, payload):
    """RFC 9052 sections 4.4 and 5.3."""
    assert decode(cose.sig_structure(protected, external, payload)) == ("Signature1", protected, external, payload)
    assert decode(cose.enc_structure(protected, external)) == ("Encrypt0", protected, external)


def test_what_is_maced_is_in_the_form_of_the_rfc():
    """RFC 9052 section 6.3; 5 is HMAC 256/256 in RFC 9053 section 3.1."""
    made = cose.to_be_maced(b"p", external_aad=b"a")
    assert decode(made) == ("MAC0", b"\xa1\x01\x05", b"a", b"p")
