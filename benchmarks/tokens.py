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
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final
from unittest.mock import patch

from measuring import Result, Sample, clock, medians
from parties import Parties

from insitu.protocol.engine import KeyKind
from insitu.protocol.keys.pkcs11_uri import TokenUri, read_uri
from insitu.protocol.keys.vault import SealedVault, Vault
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret
from insitu.shell.places import library_of

GOAL: Final = 1.43
"""A signature through the store may take so many bare calls of the token: seven tenths of its signatures a second."""
_WHY: Final = """The store verifies each signature before it gives it out (M1, decision 0047), which takes longer than
SoftHSM takes to sign; all else that it does stands in token.sign_unverified. With a card that is slow at signing, the
same verification weighs less."""
_TOGETHER: Final = 20
"""Signatures between two looks at the clock."""
_CARD, _MODULE = "card", "module"
"""The tokens."""


async def measure(repeats: int) -> list[Result]:
    """Signatures through the store against bare ones, and whole personalizations with stores in tokens and in files."""
    if shutil.which("softhsm2-util") is None:
        return []
    with _tokens() as (library, pin, folder):
        return [*await _signatures(library, pin, repeats), *await _personalizations(library, pin, folder, repeats)]


async def _signatures(library: str, pin: Secret, repeats: int) -> list[Result]:
    from pkcs11 import Mechanism

    from insitu.protocol.keys import token
    from insitu.protocol.keys.token import TokenKeyStore

    with TokenKeyStore.open(library, _uri(_CARD), pin) as store:
        handle = store.generate("measured", KeyKind.P256, b"salt")
        digest = sha256(b"message").digest()
        with store._access.calling() as session:
            private = store._meant(session, handle)

        async def through() -> float:
            started = clock()
            for _ in range(_TOGETHER):
                store.sign(handle, b"message")
            return clock() - started

        async def unverified() -> float:
            with patch.object(token, "signature_holds", lambda *_: True):
                return await through()

        async def bare() -> float:
            started = clock()
            for _ in range(_TOGETHER):
                private.sign(digest, mechanism=Mechanism.ECDSA)
            return clock() - started

        signed = await medians({"through": through, "unverified": unverified, "bare": bare}, repeats)
        store.destroy("measured")
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
            "token.sign_unverified",
            "the same without the verification, for comparison only",
            signed["unverified"] / signed["bare"],
            goal=GOAL,
        ),
    ]


async def _personalizations(library: str, pin: Secret, folder: Path, repeats: int) -> list[Result]:
    from insitu.protocol.keys.token_vault import TokenVault

    def in_file(name: str, kind: StoreKind) -> Vault:
        return SealedVault.create(folder / name, kind, pin, entropy=secrets.token_bytes)

    def in_token(name: str, kind: StoreKind) -> Vault:
        return TokenVault.create(library, _uri(name), kind, pin)

    with ExitStack() as stores:

        def personalizing(card: Vault, module: Vault) -> Sample:
            parties = Parties(stores.enter_context(card), stores.enter_context(module))

            async def personalize() -> float:
                parties.deliver()
                started = time.perf_counter()
                await parties.meet()
                return time.perf_counter() - started

            return personalize

        samples = {
            "files": personalizing(in_file("card", StoreKind.CARD), in_file("module", StoreKind.MODULE)),
            "tokens": personalizing(in_token(_CARD, StoreKind.CARD), in_token(_MODULE, StoreKind.MODULE)),
        }
        seconds = await medians(samples, max(3, repeats // 4))
    note = "job, two approvals with their PINs, both sides' session; each commit is durable"
    return [
        Result("token.personalizations", "a minute, card and module in tokens", 60 / seconds["tokens"], note=note),
        Result("token.personalizations_in_files", "a minute, both in sealed files", 60 / seconds["files"]),
    ]


def _uri(label: str) -> TokenUri:
    return read_uri(f"pkcs11:token={label}")


@contextmanager
def _tokens() -> Iterator[tuple[str, Secret, Path]]:
    """Two tokens for this run; SoftHSM reads where they are only once in a process."""
    library, pin = library_of(read_uri("pkcs11:?module-name=softhsm2")), secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tokens").mkdir()
        configuration = folder / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {folder / 'tokens'}\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(configuration)
        os.environ["INSITU_RUNTIME_DIR"] = name
        for label in (_CARD, _MODULE):
            words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", pin]
            subprocess.run([*words, "--so-pin", secrets.token_hex(8)], check=True, capture_output=True)  # noqa: S603
        yield library, Secret(pin.encode()), folder
