"""The demonstration: one module's life from delivery to a second personalization, told as it happens.

Over TCP and a serial line every party is a process of its own, run by the commands that are there for real use;
in memory all parties are in one process.
"""

from .report import DemoFailed, Report
from .stage import Stage
from .story import check, tell

__all__ = ["DemoFailed", "Report", "Stage", "check", "tell"]
