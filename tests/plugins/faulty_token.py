"""A PKCS#11 library that fails on command: faulty_pkcs11.c, compiled by the test set-up's C compiler, before SoftHSM.

So a fault comes to the product on the way on which a token's faults come: as a return value, at any call that it makes.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix("").with_name("faulty_pkcs11.c")
FOR_GOOD = 1 << 30
"""So many further calls."""
SIGN_INIT, SIGN = 42, 43
"""C_SignInit and C_Sign in a CK_FUNCTION_LIST."""


class Answer(IntEnum):
    """What the library can be made to answer (PKCS#11 section 11.1)."""

    GENERAL_ERROR = 0x05
    DEVICE_MEMORY = 0x31
    DEVICE_REMOVED = 0x32
    MECHANISM_INVALID = 0x70
    PIN_LOCKED = 0xA4
    SESSION_HANDLE_INVALID = 0xB3


class Untold(IntEnum):
    """What it can say of an attribute that it has: a lie, where it does."""

    SENSITIVE = 0x11
    TYPE_INVALID = 0x12


class FaultyLibrary:
    """The library, loaded into this process.

    Attributes:
        path: of it.

    """

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._library = ctypes.CDLL(self.path)
        self._library.faulty_arm.argtypes = [ctypes.c_ulong] * 4
        self._library.faulty_hold.argtypes = [ctypes.c_ulong]
        self._library.faulty_counted.restype = ctypes.c_ulong

    def arm(self, number: int, answer: Answer | Untold, *, lasting: bool = False, done: bool = False) -> None:
        """The call of this number from now on, and all after it if `lasting`, fails; the token does it if `done`."""
        self._library.faulty_arm(number, answer, FOR_GOOD if lasting else 0, done)

    def disarm(self) -> None:
        """All is well from now on; the count begins anew."""
        self._library.faulty_arm(0, 0, 0, 0)

    def hold(self, number: int) -> None:
        """The call of this number from now on returns no earlier than `release` is called."""
        self._library.faulty_hold(number)

    def release(self) -> None:
        """Let it return."""
        self._library.faulty_release()

    @property
    def is_held(self) -> bool:
        """Whether somebody waits for that call."""
        return bool(self._library.faulty_is_held())

    @property
    def counted(self) -> int:
        """Calls since it was armed or disarmed last."""
        return int(self._library.faulty_counted())

    @property
    def has_failed(self) -> bool:
        """Whether it came to the call that fails."""
        return int(self._library.faulty_last()) >= 0


@contextmanager
def faulty_library_in(directory: Path, before: str) -> Iterator[FaultyLibrary]:
    """The library, compiled there, which forwards to the one at `before`."""
    built = directory / "faulty_pkcs11.so"
    compiler = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(built), str(SOURCE)]
    subprocess.run([*compiler, "-ldl", "-lpthread"], check=True, timeout=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAULTY_PKCS11_BEFORE", before)
        yield FaultyLibrary(built)
