"""Clear components of a symmetric key, as two or three people bring them: digits with a check value of their own.

They are added in key memory (`SoftwareKeyStore.join_secret_block`), not here. Files are opened elsewhere.
"""

from __future__ import annotations

import string

from ..engine import SecretAlgorithm, SecretUsage
from .methods import check_length, check_value
from .port import KeyRefused


def read_component(usage: SecretUsage, algorithm: SecretAlgorithm, text: str) -> bytes:
    """One component, whose check value must hold, so that no slip of one person spoils the key of all.

    Args:
        usage: of the key that it is part of.
        algorithm: of that key.
        text: hexadecimal digits, also in groups, then the check value of the component, as in
            "0123 4567 89AB CDEF FEDC BA98 7654 3210 KCV(ENC)=08D7B4".

    Raises:
        KeyRefused: it is not of this form or length, or the check value is another's.

    """
    *groups, value = text.split() or [""]
    digits = "".join(groups)
    form = check_value(algorithm, bytes(16)).partition("=")[0]
    if len(digits) % 2 or not set(digits) <= set(string.hexdigits) or not value.upper().startswith(f"{form}="):
        raise KeyRefused(
            "key component", who="keys", expected=f"hexadecimal digits, then {form}=...", got="something else"
        )
    component = bytes.fromhex(digits)
    check_length(usage, algorithm, 8 * len(component))
    right = check_value(algorithm, component)
    if value.upper() != right:
        raise KeyRefused("check value of a key component", who="keys", expected=right, got="another")
    return component
