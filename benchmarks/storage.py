"""What a commit to the sealed store costs, with everything that the other ratios leave out: sealing and fsync.

Wall-clock time, since a disk is waited for; without goal, since it is the disk's.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from pathlib import Path

from measuring import Result, medians
from parties import Parties
from pumping import driven_by_hand

from insitu.protocol.engine import KeyKind
from insitu.protocol.keys.vault import SealedVault
from insitu.protocol.messages import encode_record
from insitu.protocol.stores.sealed import StoreKind
from insitu.protocol.stores.secret import Secret


async def measure(repeats: int) -> list[Result]:
    """One commit of a module's record and two key pairs, in milliseconds."""
    parties = Parties()
    parties.set_back()
    with driven_by_hand():
        parties.personalization().run()
    record = encode_record(parties.module.record)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "module.store"
        passphrase = Secret(b"a passphrase for measuring")
        with SealedVault.create(path, StoreKind.MODULE, passphrase, entropy=secrets.token_bytes) as vault:
            for label in ("identity", "operating-0"):
                vault.generate(label, KeyKind.P256, b"")
            keep = vault.labels()

            async def commit() -> float:
                started = time.perf_counter()
                vault.commit(record, keep)
                return time.perf_counter() - started

            async def sync() -> float:
                with (Path(folder) / "bare").open("wb") as file:
                    started = time.perf_counter()
                    file.write(record)
                    file.flush()
                    os.fsync(file.fileno())
                    return time.perf_counter() - started

            found = await medians({"commit": commit, "sync": sync}, repeats)
    bare = f"{found['sync'] * 1e3:.2f} ms"
    note = f"a record of {len(record)} bytes and two key pairs; one bare write with fsync: {bare}"
    return [Result("store.commit", "sealed commit with fsync, ms", found["commit"] * 1e3, note=note)]
