"""Trust options, one file each; `operating`, `enrolling`, `calling`: how a central system and a unit trust others."""

from .attempts import (
    ATTEMPT,
    MOST_WRONG,
    AttemptAdmitted,
    AttemptBarred,
    AttemptBegun,
    AttemptRight,
    AttemptsForgotten,
    SecretDenied,
    SecretEntered,
    SecretNeeded,
)
from .calling import MobileCalling, UnitCalled
from .certificates import ModuleByIdentity, UnitByCertificate
from .conveyed import ModuleByConveyed, UnitByConveyed
from .enrolling import CardEnrolling, CentralEnrolling, CentralSyncing
from .one_way import ModuleOneWay, UnitOneWay
from .operating import CentralAtWork, ModuleAtWork
from .physical import ByCable
from .secret import SECRET, BySecret
from .shipped_key import SHIPPED, SHIPPED_BYTES, ByShippedKey
from .stage import ProofStage
from .tan import ByTan
from .terms import SUITES, Terms
from .ticket import TICKETS, ModuleByTicket, TicketClaim, UnitByTicket

__all__ = [
    "ATTEMPT",
    "MOST_WRONG",
    "SECRET",
    "SHIPPED",
    "SHIPPED_BYTES",
    "SUITES",
    "TICKETS",
    "AttemptAdmitted",
    "AttemptBarred",
    "AttemptBegun",
    "AttemptRight",
    "AttemptsForgotten",
    "ByCable",
    "BySecret",
    "ByShippedKey",
    "ByTan",
    "CardEnrolling",
    "CentralAtWork",
    "CentralEnrolling",
    "CentralSyncing",
    "MobileCalling",
    "ModuleAtWork",
    "ModuleByConveyed",
    "ModuleByIdentity",
    "ModuleByTicket",
    "ModuleOneWay",
    "ProofStage",
    "SecretDenied",
    "SecretEntered",
    "SecretNeeded",
    "Terms",
    "TicketClaim",
    "UnitByCertificate",
    "UnitByConveyed",
    "UnitByTicket",
    "UnitCalled",
    "UnitOneWay",
]
