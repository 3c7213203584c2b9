"""What a token says of the room in it: CK_TOKEN_INFO (PKCS#11 section 3.2), which python-pkcs11 keeps to itself.

The library is loaded and initialized already; this asks it one thing more. Tokens need not say anything, and what they
say is an estimate: whoever writes finds out. Nothing is decided here.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

from .port import Memory

_OK: Final = 0
_UNAVAILABLE: Final = ctypes.c_ulong(-1).value
"""CK_UNAVAILABLE_INFORMATION."""
_CALLS_BEFORE: Final = ("Initialize", "Finalize", "GetInfo", "GetFunctionList", "GetSlotList", "GetSlotInfo")
"""What stands before C_GetTokenInfo in CK_FUNCTION_LIST, in this order for good."""
_PACKING: Final[dict[str, int]] = {"_pack_": 1} if sys.platform == "win32" else {}
"""Structures are packed on Windows (PKCS#11 section 2.1)."""


class _Version(ctypes.Structure):
    locals().update(_PACKING)
    _fields_ = (("major", ctypes.c_ubyte), ("minor", ctypes.c_ubyte))


class TokenInfo(ctypes.Structure):
    """CK_TOKEN_INFO."""

    locals().update(_PACKING)
    _fields_ = (
        ("label", ctypes.c_ubyte * 32),
        ("manufacturer", ctypes.c_ubyte * 32),
        ("model", ctypes.c_ubyte * 16),
        ("serial", ctypes.c_ubyte * 16),
        ("flags", ctypes.c_ulong),
        ("sessions", ctypes.c_ulong * 4),
        ("pin_lengths", ctypes.c_ulong * 2),
        ("total_public", ctypes.c_ulong),
        ("free_public", ctypes.c_ulong),
        ("total_private", ctypes.c_ulong),
        ("free_private", ctypes.c_ulong),
        ("versions", _Version * 2),
        ("time", ctypes.c_ubyte * 16),
    )


class _Functions(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST."""

    locals().update(_PACKING)
    _fields_ = (
        ("version", _Version),
        *((name, ctypes.c_void_p) for name in _CALLS_BEFORE),
        ("GetTokenInfo", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong, ctypes.POINTER(TokenInfo))),
    )


def memory_of(library: str, slot: int) -> Memory | None:
    """What the token in a slot says of the room for private objects; None: nothing.

    Args:
        library: path of the token's PKCS#11 library, which is loaded and initialized.
        slot: its number.

    """
    functions, info = ctypes.POINTER(_Functions)(), TokenInfo()
    try:
        found = ctypes.CDLL(library).C_GetFunctionList(ctypes.byref(functions))
    except (OSError, AttributeError):
        return None
    if found != _OK or functions.contents.GetTokenInfo(slot, ctypes.byref(info)) != _OK:
        return None
    return memory_in(info)


def memory_in(info: TokenInfo) -> Memory | None:
    """What a CK_TOKEN_INFO says."""
    free, total = info.free_private, info.total_private
    return None if _UNAVAILABLE in (free, total) or not total > 0 or free > total else Memory(free, total)
