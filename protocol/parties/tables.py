"""All tables of the product: the parties as they enter a module's life, the handshake, proofs, a mobile's call."""

from __future__ import annotations

from typing import Any, Final

from ..channel.edhoc.initiator import INITIATOR
from ..channel.edhoc.responder import RESPONDER
from ..channel.trust.conveyed import MODULE_CONVEYED, UNIT_CONVEYED
from ..channel.trust.mutual import MODULE_PROOF, UNIT_PROOF
from ..channel.trust.pake import MODULE_PAKE, UNIT_PAKE
from ..channel.trust.ticket import TICKET_MODULE, TICKET_UNIT
from ..channel.trust.token import UNIT_TOKEN
from ..engine import Table
from .card import CARD
from .card_enrolling import CARD_ENROLLING
from .card_syncing import CARD_SYNCING
from .central import CENTRAL
from .central_enrolling import CENTRAL_ENROLLING
from .central_syncing import CENTRAL_SYNCING
from .keypad import KEYPAD
from .manufacturer import MANUFACTURER
from .mobile import MOBILE
from .mobile_call import CALLED, CALLING
from .module import MODULE
from .unit import UNIT
from .work import WORK

TABLES: Final[tuple[Table[Any, Any], ...]] = (
    *(MANUFACTURER, MODULE, WORK, UNIT, CARD, CENTRAL, CARD_ENROLLING, CENTRAL_ENROLLING),
    *(CARD_SYNCING, CENTRAL_SYNCING, MOBILE, KEYPAD),
    *(INITIATOR, RESPONDER, MODULE_PROOF, UNIT_PROOF, MODULE_PAKE, UNIT_PAKE, TICKET_MODULE, TICKET_UNIT),
    *(UNIT_TOKEN, MODULE_CONVEYED, UNIT_CONVEYED, CALLING, CALLED),
)
