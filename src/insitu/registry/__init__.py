"""The central system's registry in a database: SQLite beside the program, or PostgreSQL for several programs."""

from .opening import open_registry

__all__ = ["open_registry"]
