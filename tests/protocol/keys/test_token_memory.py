"""What a token says of its room. SoftHSM says nothing, so that a library of the tests' own stands for those that do."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest
from soft_token import SoftTokens

from insitu.protocol.keys.port import Memory
from insitu.protocol.keys.token_calls import TokenInfo, memory_in, memory_of

UNAVAILABLE = ctypes.c_ulong(-1).value
LIBRARY = r"""
#include <string.h>
typedef unsigned long ulong;
typedef struct { unsigned char names[96]; ulong flags, counts[4], lengths[2], total_public, free_public,
                 total_private, free_private; unsigned char versions[4], time[16]; } Info;
static ulong told(ulong slot, Info *info) {
    if (slot != 7) return 3;  /* CKR_SLOT_ID_INVALID */
    memset(info, 0, sizeof *info);
    info->total_public = 1; info->free_public = 2; info->total_private = 65536; info->free_private = 40000;
    return 0;
}
static struct { unsigned char version[2]; void *before[6]; ulong (*told)(ulong, Info *); } functions =
    {{2, 40}, {0}, told};
ulong C_GetFunctionList(void **list) { *list = &functions; return 0; }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("library")
    (place / "library.c").write_text(LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", place / "library.so", place / "library.c"], check=True, timeout=60)
    return str(place / "library.so")


def test_a_token_that_says_how_much_is_free(library: str):
    assert memory_of(library, 7) == Memory(free=40_000, total=65_536)
    assert memory_of(library, 8) is None


def test_what_says_nothing(tmp_path: Path, soft_tokens: SoftTokens):
    from insitu.protocol.keys.pkcs11_uri import read_uri
    from insitu.protocol.keys.token_access import TokenAccess
    from insitu.protocol.stores.secret import Secret

    with TokenAccess.open(
        soft_tokens.library, read_uri("pkcs11:token=insitu"), Secret(soft_tokens.pin.encode())
    ) as access:
        assert access.memory is None
    assert memory_of(str(tmp_path / "none.so"), 0) is None
    assert memory_of("libc.so.6", 0) is None


@pytest.mark.parametrize(
    ("free", "total"),
    [(UNAVAILABLE, 65_536), (100, UNAVAILABLE), (UNAVAILABLE, UNAVAILABLE), (0, 0), (2, 1)],
    ids=["total only", "free only", "nothing", "zeros", "more than all"],
)
def test_what_makes_no_sense_is_nothing(free, total):
    assert memory_in(TokenInfo(free_private=free, total_private=total)) is None
    assert memory_in(TokenInfo(free_private=0, total_private=10)) == Memory(0, 10)
