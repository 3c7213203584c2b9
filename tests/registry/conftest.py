from __future__ import annotations

from registries import known, registry, server

__all__ = ["known", "registry", "server"]
