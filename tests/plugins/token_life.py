"""A program that commits to a vault in a token again and again, to be killed: `python token_life.py LIBRARY PIN_FILE`.

Each commit has a record with one more entry, and a new key pair in the place of the one before. What is done is said
on standard output, a line for each commit.
"""

from __future__ import annotations

import sys
from pathlib import Path

from insitu.protocol.engine import KeyKind
from insitu.protocol.keys.pkcs11_uri import read_uri
from insitu.protocol.keys.token_vault import TokenVault
from insitu.protocol.messages.codec import decode, encode
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret

URI = "pkcs11:token=insitu"


def record_of(number: int) -> bytes:
    """The record of the commit of this number: its key pair, and as many entries."""
    return encode({1: number, 2: label_of(number), 3: [bytes([each]) * 150 for each in range(number)]})


def label_of(number: int) -> str:
    """The label of its key pair."""
    return f"pair {number}"


def number_of(record: bytes | None) -> int:
    """Which commit a record is of."""
    if record is None:
        return 0
    item = decode(record)
    assert isinstance(item, dict)
    number = item[1]
    assert isinstance(number, int)
    return number


def opened(library: str, pin: str) -> TokenVault:
    """The vault in the token."""
    return TokenVault.open(library, read_uri(URI), StoreKind.MODULE, Secret(pin.encode()))


def main(library: str, pin_file: str) -> None:
    """Go on until killed."""
    with opened(library, Path(pin_file).read_text("ascii").strip()) as vault:
        number = number_of(vault.record)
        while True:
            number += 1
            vault.generate(label_of(number), KeyKind.P256, b"salt")
            vault.commit(record_of(number), frozenset({label_of(number)}))
            print(number, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
