"""A second reading of TR-31 version D, from the standard and for tests: AES block by block, nothing of the product.

It writes whatever header and payload it is told to, also such as no key block may have.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

BLOCK = 16

KBPK = bytes.fromhex("88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6")
"""Key block protection key of the example in TR-31:2018 annex A.7.4; the three below are of that example, too."""
PUBLISHED = (
    "D0112P0AE00E0000B82679114F470F540165EDFBF7E250FCEA43F810D215F8D207E2E417C07156A27E8E31DA05F7425509593D03A457DC34"
)
PUBLISHED_KEY = bytes.fromhex("3F419E1CB7079442AA37474C2EFBF8B8")
PUBLISHED_PADDING = bytes.fromhex("1C2965473CE206BB855B01533782")


def aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def back(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(block)


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def doubled(block: bytes) -> bytes:
    number = int.from_bytes(block, "big") << 1
    return (number & ((1 << 128) - 1) ^ (0x87 if number >> 128 else 0)).to_bytes(BLOCK, "big")


def cmac(key: bytes, data: bytes) -> bytes:
    """NIST SP 800-38B section 6.2."""
    subkey = doubled(aes(key, bytes(BLOCK)))
    rest = len(data) % BLOCK
    if rest or not data:
        subkey = doubled(subkey)
        data += b"\x80" + bytes(BLOCK - 1 - rest)
    state = bytes(BLOCK)
    for start in range(0, len(data) - BLOCK, BLOCK):
        state = aes(key, xor(state, data[start : start + BLOCK]))
    return aes(key, xor(xor(state, data[-BLOCK:]), subkey))


def derived(kbpk: bytes) -> tuple[bytes, bytes]:
    """Encryption and authentication key of AES-256."""
    rows = ["0100000000040100", "0200000000040100", "0100010000040100", "0200010000040100"]
    first, second, third, fourth = (cmac(kbpk, bytes.fromhex(row)) for row in rows)
    return first + second, third + fourth


def header(
    usage: str,
    algorithm: str,
    mode: str,
    *,
    version: str = "D",
    length: int = 0,
    number: str = "00",
    export: str = "N",
    tail: str = "0000",
) -> str:
    return f"{version}{length:04}{usage}{algorithm}{mode}{number}{export}{tail}"


def payload_of(key: bytes, padding: bytes = bytes(14)) -> bytes:
    return (8 * len(key)).to_bytes(2, "big") + key + padding


def wrap(kbpk: bytes, head: str, payload: bytes, *, keep_length: bool = False) -> str:
    """`payload` and the length in the header as they are, if `keep_length`, else with the right length."""
    if not keep_length:
        head = f"{head[0]}{len(head) + 2 * (len(payload) + BLOCK):04}{head[5:]}"
    encryption, authentication = derived(kbpk)
    mac = cmac(authentication, head.encode() + payload)
    state, sealed = mac, b""
    for start in range(0, len(payload), BLOCK):
        state = aes(encryption, xor(state, payload[start : start + BLOCK]))
        sealed += state
    return head + sealed.hex().upper() + mac.hex().upper()


def unwrap(kbpk: bytes, text: str) -> tuple[str, bytes]:
    """Header and key; an AssertionError where the MAC does not hold."""
    head, sealed = text[:16], bytes.fromhex(text[16:])
    body, mac = sealed[:-BLOCK], sealed[-BLOCK:]
    encryption, authentication = derived(kbpk)
    payload, before = b"", mac
    for start in range(0, len(body), BLOCK):
        block = body[start : start + BLOCK]
        payload += xor(back(encryption, block), before)
        before = block
    assert cmac(authentication, head.encode() + payload) == mac
    size = int.from_bytes(payload[:2], "big") // 8
    return head, payload[2 : 2 + size]
