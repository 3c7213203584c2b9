"""Two calls of a PKCS#11 library that python-pkcs11 does not offer.

What a token says of the room in it stands in CK_TOKEN_INFO (PKCS#11 section 3.2). Tokens need not say anything, and
what they say is an estimate: whoever writes finds out. C_CloseAllSessions ends what was left over of a login that
failed half-way, or of one that could not be ended. The library is loaded and initialized already. Nothing is decided
here.
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
_CALLS_BETWEEN: Final = (
    "GetMechanismList",
    "GetMechanismInfo",
    "InitToken",
    "InitPIN",
    "SetPIN",
    "OpenSession",
    "CloseSession",
)
"""What stands before C_CloseAllSessions after it."""
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
        *((name, ctypes.c_void_p) for name in _CALLS_BETWEEN),
        ("CloseAllSessions", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_ulong)),
    )


def memory_of(library: str, slot: int) -> Memory | None:
    """What the token in a slot says of the room for private objects; None: nothing.

    Args:
        library: path of the token's PKCS#11 library, which is loaded and initialized.
        slot: its number.

    """
    functions, info = _functions(library), TokenInfo()
    if functions is None or functions.GetTokenInfo(slot, ctypes.byref(info)) != _OK:
        return None
    return memory_in(info)


def close_all_sessions(library: str, slot: int) -> None:
    """End all sessions that this process has with the token in a slot, and with them its login.

    Args:
        library: path of the token's PKCS#11 library, which is loaded and initialized.
        slot: its number.

    """
    functions = _functions(library)
    if functions is not None:
        functions.CloseAllSessions(slot)


def _functions(library: str) -> _Functions | None:
    found = ctypes.POINTER(_Functions)()
    try:
        answer = ctypes.CDLL(library).C_GetFunctionList(ctypes.byref(found))
    except (OSError, AttributeError):
        return None
    return found.contents if answer == _OK else None


def memory_in(info: TokenInfo) -> Memory | None:
    """What a CK_TOKEN_INFO says."""
    free, total = info.free_private, info.total_private
    return None if _UNAVAILABLE in (free, total) or not total > 0 or free > total else Memory(free, total)
