"""What the SPIN model makes of the tables: a stated meaning for every guard, every action and every event of theirs.

The rows themselves are taken from the tables that run in production (promela.py); this file is all that is said about
them by hand. A guard is an expression over the variables of life.pml, or EITHER: both answers are tried, which adds
behaviour and takes none away. An action is the list of its effects in their order; a test holds kinds and order against
what the tables did when they ran. An event is played, or stands in NOT_PLAYED with the reason; rows on it are left out.

What the model abstracts away, and what therefore must be shown elsewhere: bytes, lengths, cryptography (a proof is the
pair of a key and the channel it was made in), the handshake and the stages of proof before ChannelOpened, delivery,
business beyond one authorization, symmetric keys, revocation, certificates' times, and every number that only grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from insitu.protocol.engine import Table
from insitu.protocol.parties.central import CENTRAL
from insitu.protocol.parties.module import MODULE
from insitu.protocol.parties.unit import UNIT
from insitu.protocol.parties.work import WORK

EITHER: Final = "EITHER"
"""Of a guard: it may hold or not."""


@dataclass(frozen=True, slots=True)
class Did:
    """One thing that an action does.

    Attributes:
        kind: as the recorded effect is named: "Send X", "Persist", "Close", "Sign", "LookUp x", ...; "" for what only
            changes data.
        code: what it is in the model.

    """

    kind: str
    code: str


def send(message: str, x: str = "0", y: str = "0") -> Did:
    """A message, with the two numbers that the model gives it."""
    return Did(f"Send {message}", f"SEND({message}, {x}, {y})")


def ask(kind: str, answer: str) -> Did:
    """A key operation or question, and the event that answers it."""
    return Did(kind, f"ASK({answer})")


def persist(code: str) -> Did:
    """A durable write: all of it or nothing."""
    return Did("Persist", code)


def note(code: str) -> Did:
    """Data that lasts as long as the session."""
    return Did("", code)


CLOSE: Final = Did("Close", "CLOSE()")

PLAYED: Final[dict[str, Table[Any, Any]]] = {"module": MODULE, "unit": UNIT, "work": WORK, "central": CENTRAL}

GUARDS: Final[dict[str, dict[str, str]]] = {
    "module": {
        "personalization_is_the_purpose": "x == PERSONALIZE",
        "status_is_the_purpose": "x == STATUS",
        # no reset has happened, the pair is there, and the unit admits it
        "key_from_manufacture_serves": "x == MANUFACTURE_ADMITTED && epoch[d] == 0",
        # the card signed it, for the key of this session
        "chain_is_complete": "x == m_key && y == CARD",
        # no customer of the model is vouched for by nobody but its own central system
        "circle_is_admitted": "false",
        "a_reset_came_before": "condition[d] == MODULE_RESET",
    },
    "unit": {
        "it_wants_personalization": "x == PERSONALIZE && u_job[d]",
        "there_is_no_job_for_it": "x == PERSONALIZE && !u_job[d]",
        "it_only_reports": "x == STATUS",
        "possession_is_proved": "y == u_link[d]",
        "a_known_module_proves_possession": "CERTIFIED && y == u_link[d]",
        "people_are_to_approve_it": "QUEUED && CERTIFIED && y == u_link[d]",
        "the_new_key_confirms": "x == u_key[d] && y == u_link[d]",
    },
    "work": {
        # who speaks for the central system holds its key, in this model
        "peer_is_the_pinned_central": "pinned[d]",
        "it_is_time_to_beat": "false",
        "there_is_room": EITHER,
        "answers_our_request": EITHER,
        "it_was_given_up": EITHER,
        "epoch_is_ours": "x == epoch[d]",
        "command_is_authentic": "x == w_link[d] && y == epoch[d]",
    },
    "central": {
        "module_is_certified": "true",
        "a_reset_is_due": "ENTERED && r_standing != WORKING && GREETED(d) && c_epoch[d] == r_epoch",
        # the operator of the model asks for no logs of cards
        "it_was_certified_outside_the_log": "false",
        "nothing_speaks_against_it": "!ENTERED || (c_shown[d] == r_certificate -> SAME(d) : NEWER(d))",
        "it_may_stay": "c_shown[d] == r_certificate",
        "number_is_new": "true",
        "it_answers_the_module": "true",
        "challenge_is_for_this_epoch": "y == c_held[d]",
        "a_new_epoch_began": "x == c_held[d] + 1",
    },
}

ACTIONS: Final[dict[str, dict[str, tuple[Did, ...]]]] = {
    "module": {
        "await_order": (),
        "make_key_pair": (ask("GenerateKey", "KeyPairMade"),),
        "use_manufactured_key": (note("m_key = MADE_BEFORE"), ask("Sign", "Signed")),
        "prove_possession": (note("FRESH(m_key)"), ask("Sign", "Signed")),
        "present_key": (send("ModuleKey", "m_key", "m_link"),),
        "await_people": (),
        "confirm": (note("m_staged = x; m_issuer = y"), ask("Sign", "Signed")),
        "confirm_circle": (note("m_staged = x; m_issuer = y"), ask("Sign", "Signed")),
        "commit": (persist("KEEP(d)"), send("Personalized", "m_staged", "m_link"), CLOSE),
        "roll_back": (CLOSE,),
        "report": (send("Status"), CLOSE),
    },
    "unit": {
        "order_key_pair": (send("GenerateKeyPair", "POLICY"),),
        "have_it_certified": (note("u_key[d] = x"), ask("LookUp certificate", "ModuleCertified")),
        "have_it_approved": (note("u_key[d] = x"), ask("LookUp approval", "JobQueued")),
        "have_it_compared": (note("u_key[d] = x"), ask("Consult", "FingerprintsAgree")),
        "await_people": (send("ApprovalAwaited"),),
        "have_the_key_certified": (ask("LookUp certificate", "ModuleCertified"),),
        "hand_over": (send("Certificates", "u_key[d]", "CARD"),),
        "finish": (note("CONFIRMED(u_key[d])"), CLOSE),
        "decline": (CLOSE,),
        "turn_away": (CLOSE,),
        "await_status": (),
        "take_note": (CLOSE,),
        "give_up": (CLOSE,),
    },
    "work": {
        "greet": (persist("generation[d]++"), send("Greeting", "epoch[d]", "generation[d]")),
        "resume": (persist("generation[d]++"),),
        "beat": (send("Beat"),),
        "go_offline": (CLOSE,),
        "ask": (persist("generation[d]++"), send("Authorize")),
        "pay_out": (persist("generation[d]++"),),
        "challenge": (send("ResetChallenge", "w_link[d]", "epoch[d]"),),
        "erase": (persist("ERASE(d)"), send("ResetDone", "epoch[d]"), CLOSE),
        "erase_by_hand": (persist("ERASE(d)"), CLOSE),
    },
    "central": {
        "greet": (),
        "look_it_up": (
            note("c_epoch[d] = x; c_generation[d] = y; c_stale[d] = false"),
            ask("LookUp module", "ModuleFound"),
        ),
        "register": (persist("REGISTER(d)"), send("Welcome"), Did("LookUp command", "skip")),
        "look_again": (note("c_stale[d] = false"), ask("LookUp module", "ModuleFound")),
        "look_for_command": (note("c_held[d] = r_epoch"), Did("LookUp command", "skip")),
        "have_it_decided": (persist("DECIDE(d)"), ask("LookUp decision", "Decided")),
        "look_for_transaction": (Did("LookUp transaction", "skip"),),
        "instruct": (persist("DECIDE(d)"), send("PayOut")),
        "request_reset": (note("c_held[d] = r_epoch"), send("ResetRequest", "r_epoch")),
        "sign_command": (note("c_challenge[d] = x"), ask("Sign", "Signed")),
        "command_reset": (send("ResetCommand", "c_challenge[d]", "c_held[d]"),),
        "strike_off": (persist("STRIKE_OFF(d)"), CLOSE),
        "doubt_its_card": (persist("skip"), CLOSE),
        "send_away": (CLOSE,),
        "part": (CLOSE,),
    },
}

_KEYS: Final = "symmetric keys (L11) touch no certificate"
_BUSINESS: Final = "business (L10) beyond one authorization touches no certificate"
_DELIVERY: Final = "the model begins with a delivered module"
_BEATS: Final = "without beats the link is lost, which is played"

NOT_PLAYED: Final[dict[str, dict[str, str]]] = {
    "module": dict.fromkeys(("Initialize", "IdentityCertified"), _DELIVERY),
    "unit": {},
    "work": {
        **dict.fromkeys(("LoadKey", "KeyUnwrapped", "SecretWanted", "SecretUsed", "KeyOperationFailed"), _KEYS),
        **dict.fromkeys(("TransactionSettled", "PayloadGiven", "Received", "Instruct", "InstructionTaken"), _BUSINESS),
        **dict.fromkeys(("TimePassed", "TimeTold"), "time ends symmetric keys only"),
        "Revocations": "revocation is not in the model",
    },
    "central": {
        **dict.fromkeys(("Payload", "Outcome", "TransactionFound", "CommandFound", "Received", "Declined"), _BUSINESS),
        **dict.fromkeys(("KeyRewrapped", "KeyLoaded"), _KEYS),
        "Beat": _BEATS,
    },
}

NOT_ENTERED: Final[dict[str, tuple[str, ...]]] = {
    "module": ("BLANK", "IDENTIFYING", "PREPARING", "IDENTIFIED"),
    "unit": (),
    "work": ("LOADING",),
    "central": ("CHECKING", "SETTLING", "WRAPPING"),
}
"""States that only those events lead to; rows from them are left out as well."""
