"""Trust options, one file each; `operating` and `enrolling` are what central systems trust modules and cards by."""

from .certificates import ModuleByIdentity, UnitByCertificate
from .enrolling import CardEnrolling, CentralEnrolling
from .one_way import ModuleOneWay, UnitOneWay
from .operating import CentralAtWork, ModuleAtWork
from .physical import ByCable
from .shipped_key import SHIPPED, SHIPPED_BYTES, ByShippedKey
from .stage import ProofStage
from .terms import SUITES, Terms

__all__ = [
    "SHIPPED",
    "SHIPPED_BYTES",
    "SUITES",
    "ByCable",
    "ByShippedKey",
    "CardEnrolling",
    "CentralAtWork",
    "CentralEnrolling",
    "ModuleAtWork",
    "ModuleByIdentity",
    "ModuleOneWay",
    "ProofStage",
    "Terms",
    "UnitByCertificate",
    "UnitOneWay",
]
