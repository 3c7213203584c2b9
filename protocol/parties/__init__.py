"""The parties, each a table in a file of its own; nothing else knows what a party may do."""

from .card import CARD
from .central import CENTRAL
from .manufacturer import MANUFACTURER
from .module import MODULE
from .unit import UNIT

__all__ = ["CARD", "CENTRAL", "MANUFACTURER", "MODULE", "UNIT"]
