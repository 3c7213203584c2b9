"""Which PKCS#11 library a token is reached by: as its URI says, or the environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from os import environ
from pathlib import Path
from typing import Final

from ..protocol.engine import UsageError
from ..protocol.keys.pkcs11_uri import TokenUri

LIBRARY_VARIABLE: Final = "INSITU_PKCS11_MODULE"
"""Names the PKCS#11 library where a URI does not: by its path, or as `module-name` does."""
_DIRECTORIES: Final = (
    *("/usr/lib/pkcs11", "/usr/lib64/pkcs11", "/usr/local/lib/pkcs11", "/usr/lib/softhsm", "/usr/lib64/softhsm"),
    *("/usr/lib/x86_64-linux-gnu/pkcs11", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu/pkcs11"),
    *("/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib", "/opt/homebrew/lib"),
)
"""Where libraries are looked for that a URI names without a path."""
_ENDINGS: Final = {"win32": (".dll",), "darwin": (".dylib", ".so")}


def library_of(uri: TokenUri) -> str:
    """The path of the PKCS#11 library: `module-path`, or `module-name`, or else what INSITU_PKCS11_MODULE names.

    Raises:
        UsageError: none is named, or the one that is named by `module-name` is nowhere.

    """
    if uri.module_name:
        places = (uri.module_path,) if uri.module_path else _DIRECTORIES
        return _library_named(uri.module_name, places)
    path = uri.module_path or environ.get(LIBRARY_VARIABLE, "")
    if path and not uri.module_path and Path(path).name == path:
        return _library_named(path, _DIRECTORIES)
    if not path:
        expected = f"module-path or module-name in the URI, or {LIBRARY_VARIABLE}"
        raise UsageError("which PKCS#11 library?", who="token", expected=expected, got="none")
    return path


def _library_named(name: str, places: Sequence[str]) -> str:
    if "/" in name or "\\" in name:
        raise UsageError("PKCS#11 URI: module-name", who="token", expected="a name without a path", got=name)
    endings = _ENDINGS.get(sys.platform, (".so",))
    for place in places:
        for ending in endings:
            for file in (name, f"{name}{ending}", f"lib{name}{ending}"):
                if (Path(place) / file).is_file():
                    return str(Path(place) / file)
    raise UsageError(f"no PKCS#11 library {name}", who="token", expected="one in a usual place, or module-path")
