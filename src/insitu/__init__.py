"""insitu: personalize the security modules of ATMs where they stand.

What an embedder needs stands here; everything is loaded when it is first used. The sans-IO core is
`insitu.protocol`, links are in `insitu.transports`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .protocol.engine import EnvironmentFault, InsituError, ProtocolError, StateError, UsageError
    from .protocol.messages import Authorize, KeyPolicy, PayOut, TrustOption
    from .protocol.parties.module_data import ModuleState
    from .shell.at_work import at_work, open_module
    from .shell.card import Card
    from .shell.central import Central
    from .shell.manufacturer import Manufacturer
    from .shell.module import Module
    from .shell.unit import Unit
    from .shell.work import Work
    from .transports.links import Link, open_link, serve_links

__version__ = "0.1.0"

_HOMES = {
    "protocol.engine": ("EnvironmentFault", "InsituError", "ProtocolError", "StateError", "UsageError"),
    "protocol.messages": ("Authorize", "KeyPolicy", "PayOut", "TrustOption"),
    "protocol.parties.module_data": ("ModuleState",),
    "shell.at_work": ("at_work", "open_module"),
    "shell.card": ("Card",),
    "shell.central": ("Central",),
    "shell.manufacturer": ("Manufacturer",),
    "shell.module": ("Module",),
    "shell.unit": ("Unit",),
    "shell.work": ("Work",),
    "transports.links": ("Link", "open_link", "serve_links"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Authorize",
    "Card",
    "Central",
    "EnvironmentFault",
    "InsituError",
    "KeyPolicy",
    "Link",
    "Manufacturer",
    "Module",
    "ModuleState",
    "PayOut",
    "ProtocolError",
    "StateError",
    "TrustOption",
    "Unit",
    "UsageError",
    "Work",
    "at_work",
    "open_link",
    "open_module",
    "serve_links",
]


def __getattr__(name: str) -> object:
    """Load a public name when it is first used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value
