"""One small PKI, and the openssl command, for all tests of keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from pki import OpenSsl, Pki


@pytest.fixture(scope="session")
def pki() -> Pki:
    """A manufacturer and a customer; shared, so only ask it for more."""
    return Pki()


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    """The openssl command."""
    return OpenSsl(tmp_path)
