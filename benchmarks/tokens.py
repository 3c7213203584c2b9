"""What keys in a token cost, by the example of SoftHSM, which is made for this in a directory of its own.

Signatures in processor time, which SoftHSM spends in our thread; personalizations by the clock, since a token is waited
for. Where SoftHSM is missing, there are no such lines.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Final

from measuring import Result, clock, medians
from parties import Parties

from insitu.protocol.engine import KeyKind
from insitu.protocol.keys.pkcs11_uri import TokenUri, read_uri
from insitu.protocol.messages import CardRole
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.places import library_of

GOAL: Final = 1.43
"""A signature through the store may take so many bare calls of the token: seven tenths of its signatures a second."""
_WHY: Final = """The store verifies each signature before it gives it out (M1), as long as SoftHSM takes to sign.
With a card that is slow at signing, the same verification weighs less."""
_TOGETHER: Final = 20
"""Signatures between two looks at the clock."""


async def measure(repeats: int) -> list[Result]:
    """Signatures through the store against bare ones, and a card's certificate with all that the card writes."""
    if shutil.which("softhsm2-util") is None:
        return []
    from pkcs11 import Mechanism

    from insitu.protocol.keys.token import TokenKeyStore
    from insitu.protocol.keys.token_vault import TokenVault

    with _token() as (library, uri, pin):
        with TokenKeyStore.open(library, uri, pin) as store:
            handle = store.generate("measured", KeyKind.P256, b"salt")
            digest = sha256(b"message").digest()
            with store._access.calling() as session:
                private = store._meant(session, handle)

            async def through() -> float:
                started = clock()
                for _ in range(_TOGETHER):
                    store.sign(handle, b"message")
                return clock() - started

            async def bare() -> float:
                started = clock()
                for _ in range(_TOGETHER):
                    private.sign(digest, mechanism=Mechanism.ECDSA)
                return clock() - started

            signed = await medians({"through": through, "bare": bare}, repeats)
            store.destroy("measured")
        with TokenVault.create(library, uri, StoreKind.CARD, pin) as vault:
            parties = Parties(vault)
            numbers = count()

            async def personalize() -> float:
                public = parties.module_keys.generate(f"made {next(numbers)}", KeyKind.P256, b"").public
                started = time.perf_counter()
                parties.certify(CardRole.MODULE, f"SM-{next(numbers)}", public)
                return time.perf_counter() - started

            certified = await medians({"personalization": personalize}, max(3, repeats // 10))
    rate = _TOGETHER / signed["bare"]
    return [
        Result(
            "token.sign",
            "signature through the store / the token's own call",
            signed["through"] / signed["bare"],
            goal=GOAL,
            note=f"SoftHSM, P-256, {rate:.0f} bare ones a second",
            why=_WHY,
        ),
        Result(
            "token.personalizations",
            "personalizations a minute, the part of a card in a token",
            60 / certified["personalization"],
            note="job, two approvals with their PINs, intent, signature and result; each a commit to the token",
        ),
    ]


@contextmanager
def _token() -> Iterator[tuple[str, TokenUri, Secret]]:
    """A token for this run; SoftHSM reads where it is only once in a process."""
    library, pin = library_of(read_uri("pkcs11:?module-name=softhsm2")), secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as folder:
        tokens = Path(folder) / "tokens"
        tokens.mkdir()
        configuration = Path(folder) / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {tokens}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        os.environ["INSITU_RUNTIME_DIR"] = folder
        words = ["softhsm2-util", "--init-token", "--free", "--label", "bench", "--pin", pin]
        subprocess.run([*words, "--so-pin", secrets.token_hex(8)], check=True, capture_output=True)  # noqa: S603
        yield library, read_uri("pkcs11:token=bench"), Secret(pin.encode())
