from __future__ import annotations

from commands import _bank, _stranger, bank, later, stranger
from registries import server

__all__ = ["_bank", "_stranger", "bank", "later", "server", "stranger"]
