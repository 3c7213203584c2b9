"""Trust options, one file each; `operating` is what module and central system trust afterwards."""

from .certificates import ModuleByIdentity, UnitByCertificate
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
    "CentralAtWork",
    "ModuleAtWork",
    "ModuleByIdentity",
    "ModuleOneWay",
    "ProofStage",
    "Terms",
    "UnitByCertificate",
    "UnitOneWay",
]
