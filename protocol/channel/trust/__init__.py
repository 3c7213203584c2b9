"""Trust options, one file each; `operating` is what module and central system trust afterwards."""

from .certificates import ModuleByIdentity, UnitByCertificate
from .operating import CentralAtWork, ModuleAtWork
from .physical import ByCable
from .terms import SUITES, Terms

__all__ = [
    "SUITES",
    "ByCable",
    "CentralAtWork",
    "ModuleAtWork",
    "ModuleByIdentity",
    "Terms",
    "UnitByCertificate",
]
