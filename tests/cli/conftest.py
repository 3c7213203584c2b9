from __future__ import annotations

from pathlib import Path

import pytest
from commands import Estate, _bank, _stranger, bank, later, stranger, write_secret

__all__ = ["_bank", "_stranger", "bank", "later", "stranger", "wrong"]


@pytest.fixture
def wrong(bank: Estate) -> Path:
    """A PIN of nobody's."""
    return write_secret(bank / "wrong.pin", "00000000")
