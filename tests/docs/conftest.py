from __future__ import annotations

from commands import _bank, bank

__all__ = ["_bank", "bank"]
