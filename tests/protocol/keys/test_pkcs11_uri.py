"""PKCS#11 URIs: the examples of RFC 7512 section 3, and what is refused."""

from __future__ import annotations

import pytest

from insitu.protocol.engine import UsageError
from insitu.protocol.keys.pkcs11_uri import TokenUri, read_uri

EXAMPLES = {
    "pkcs11:": TokenUri(),
    "pkcs11:object=my-pubkey;type=public": TokenUri(object="my-pubkey", type="public"),
    "pkcs11:object=my-key;type=private?pin-source=file:/etc/token": TokenUri(
        object="my-key", type="private", pin_source="/etc/token"
    ),
    "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
    "object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin": TokenUri(
        {
            "token": "The Software PKCS#11 Softtoken",
            "manufacturer": "Snake Oil, Inc.",
            "model": "1.0",
            "serial": "",
        },
        object="my-certificate",
        type="cert",
        id=bytes.fromhex("69953e5cf4bdec91"),
        pin_source="/etc/token_pin",
    ),
    "pkcs11:object=my-sign-key;type=private?module-name=mypkcs11": TokenUri(
        object="my-sign-key", type="private", module_name="mypkcs11"
    ),
    "pkcs11:object=my-sign-key;type=private?module-path=/mnt/libmypkcs11.so.1": TokenUri(
        object="my-sign-key", type="private", module_path="/mnt/libmypkcs11.so.1"
    ),
    "pkcs11:slot-description=Sun%20Metaslot": TokenUri({"slot-description": "Sun Metaslot"}),
    "pkcs11:library-manufacturer=Snake%20Oil,%20Inc.;library-description=Soft%20Token%20Library;library-version=1.23": (
        TokenUri(
            {
                "library-manufacturer": "Snake Oil, Inc.",
                "library-description": "Soft Token Library",
                "library-version": "1.23",
            }
        )
    ),
    "pkcs11:token=My%20token%25%20created%20by%20Joe;library-version=3;id=%01%02%03%Ba%dd%Ca%fe%04%05%06": TokenUri(
        {"token": "My token% created by Joe", "library-version": "3"}, id=bytes.fromhex("010203baddcafe040506")
    ),
    "pkcs11:token=A%20name%20with%20a%20substring%20%25%3B;object=my-certificate;type=cert": TokenUri(
        {"token": "A name with a substring %;"}, object="my-certificate", type="cert"
    ),
    "pkcs11:token=Name%20with%20a%20small%20A%20with%20acute:%20%C3%A1;object=my-certificate;type=cert": TokenUri(
        {"token": "Name with a small A with acute: á"}, object="my-certificate", type="cert"
    ),
}


@pytest.mark.parametrize(("text", "uri"), EXAMPLES.items())
def test_examples_of_the_rfc(text, uri):
    assert read_uri(text) == uri


def test_the_example_with_a_pin_is_refused_and_the_pin_not_repeated():
    with pytest.raises(UsageError, match="PIN does not belong") as caught:
        read_uri("pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.?pin-value=the-pin")
    assert "the-pin" not in str(caught.value)


def test_the_example_with_attributes_of_a_vendor():
    """Section 2.3: an unknown attribute that would choose fits nothing; one of the query changes nothing."""
    with pytest.raises(UsageError, match="got vendor-aaa"):
        read_uri("pkcs11:token=my-token;vendor-aaa=value-a?pin-source=file:/etc/token_pin&vendor-bbb=value-b")
    uri = read_uri("pkcs11:token=my-token?pin-source=file:///etc/token_pin&vendor-bbb=value-b")
    assert uri == TokenUri({"token": "my-token"}, pin_source="/etc/token_pin")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("file:/etc/token", "scheme"),
        ("pkcs11:token", "name=value"),
        ("pkcs11:token=a;", "name=value"),
        ("pkcs11:token=a;token=b", "token is given twice"),
        ("pkcs11:token=a b", "value of token"),
        ("pkcs11:token=%2", "value of token"),
        ("pkcs11:token=%FF", "UTF-8"),
        ("pkcs11:token=a/b", "value of token"),
        ("pkcs11:slot-id=x", "a number"),
        ("pkcs11:type=key", "type"),
        ("pkcs11:?pin-source=|/bin/ask", "a file"),
        ("pkcs11:?pin-source=file://elsewhere/pin", "this machine"),
        ("pkcs11:?pin-value=", "PIN does not belong"),
        ("pkcs11:pin-value=1234", "got pin-value"),
    ],
)
def test_what_is_no_uri_of_a_token(text, complaint):
    with pytest.raises(UsageError, match=complaint) as caught:
        read_uri(text)
    assert "1234" not in str(caught.value)
