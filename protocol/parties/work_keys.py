"""The module at work, its symmetric keys (L11, S8): the guards and actions that the table in `work.py` names for them.

A use is counted durably before key memory does it, and what has expired is destroyed by the write that says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ..engine import (
    Effect,
    Effects,
    Fault,
    KeyOperationFailed,
    KeyUnwrapped,
    SecretUsed,
    Send,
    Show,
    StateError,
    StopTimer,
    UnwrapKey,
    UseSecret,
    given,
    is_legacy,
)
from ..messages import Declined, HeldKey, KeyLoaded, LoadKey, TimeTold
from .work_changes import kept
from .work_data import (
    KeyDeclined,
    KeyExpired,
    KeyTaken,
    SecretAnswered,
    SecretWanted,
    TimePassed,
    WorkData,
    secret_label,
)
from .work_time import learned, noted_for, time_for

NOTE_SECONDS: Final = 600
"""How far time goes on before a module notes durably that its symmetric keys have grown older; uses note it, too."""

# Refusals ------------------------------------------------------------------------------------------------------


class SecretUnusable(StateError):
    """A symmetric key cannot be used now."""


class SecretMissing(SecretUnusable):
    """No key for this usage is here: none was loaded, or it is erased."""


class SecretExpired(SecretUnusable):
    """The key's time is over, or it was used as often as it may be; it is erased."""


class SecretUnvouched(SecretUnusable):
    """Nobody vouches for the store since the program began: neither a counter nor a contact with the host (S8)."""


class MethodExcluded(SecretUnusable):
    """Policy does not admit the older method (L11)."""


def why_unusable(data: WorkData, event: SecretWanted) -> SecretUnusable | None:
    """Why the guards below do not let a key be used; None: for another reason, say because one is being loaded."""
    usage = event.usage.value
    found = data.secret_for(event.usage)
    if found is None:
        return SecretMissing("no such key", who="module", expected=f"a key for {usage}, loaded by the host")
    if _is_over(learned(data, event), found[1]):
        return SecretExpired(f"the key for {usage} has expired", who="module", expected="a new one from the host")
    if not data.vouched:
        return SecretUnvouched(
            f"nobody vouches for the key for {usage}", who="module", expected="a contact with the host"
        )
    if not data.legacy and is_legacy(event.operation):
        return MethodExcluded("older method", who="module", expected="a policy that admits it")
    return None


# Guards ------------------------------------------------------------------------------------------------------


def policy_admits_it(data: WorkData, event: KeyUnwrapped) -> bool:
    """No TDES without explicit policy (L11)."""
    return data.legacy or not is_legacy(event.key)


def key_is_usable(data: WorkData, event: SecretWanted) -> bool:
    """There is such a key, somebody vouches for the store, neither time nor count is over, policy admits the method."""
    found = data.secret_for(event.usage)
    if found is None or not data.vouched or data.using is not None:
        return False
    admitted = data.legacy or not is_legacy(event.operation)
    return admitted and not _is_over(learned(data, event), found[1])


def its_life_is_over(data: WorkData, event: SecretWanted) -> bool:
    """The key for this usage has expired (S8)."""
    found = data.secret_for(event.usage)
    return found is not None and _is_over(learned(data, event), found[1])


def a_key_has_expired(data: WorkData, event: TimePassed | TimeTold) -> bool:
    """A symmetric key is past its time."""
    known = learned(data, event)
    return any(_is_over(known, held) for held in data.record.keys)


def a_key_has_aged(data: WorkData, event: TimePassed | TimeTold) -> bool:
    """It is time to note durably how long a symmetric key has lived."""
    known = learned(data, event)
    return any(time_for(known, held) >= noted_for(data, held) + NOTE_SECONDS for held in data.record.keys)


def a_use_is_under_way(data: WorkData, _: object) -> bool:
    """The key operation that ended is the one that the controller wants."""
    return data.using is not None


# Actions -----------------------------------------------------------------------------------------------------


def unwrap(data: WorkData, event: LoadKey) -> tuple[WorkData, Effects]:
    """Have key memory take the key out of its block (L11)."""
    return replace(data, loading=event), [UnwrapKey(secret_label(event.number), data.wrapping, event.block)]


def acknowledge_key(data: WorkData, event: LoadKey) -> tuple[WorkData, Effects]:
    """Say again what became of it; what is not here was not taken, or has expired meanwhile."""
    held = next((held for held in data.record.keys if held.number == event.number), None)
    if held is None:
        return data, [Send(Declined(event.number, Fault.UNSUPPORTED))]
    check_value = next(secret.check_value for secret in data.secrets if secret.label == held.label)
    return data, [Send(KeyLoaded(event.number, check_value))]


def keep_key(data: WorkData, event: KeyUnwrapped) -> tuple[WorkData, Effects]:
    """Keep it in the place of the one that served this usage before, which is destroyed by the same write."""
    order, new = given(data.loading), event.key
    others = tuple(secret for secret in data.secrets if secret.usage is not new.usage)
    labels = {secret.label for secret in others}
    held = HeldKey(new.label, order.number, order.not_after, order.uses, 0)
    keys = (*(each for each in data.record.keys if each.label in labels), held)
    known, persist = kept(replace(data, secrets=(*others, new), loading=None), heard=order.number, keys=keys)
    taken = KeyTaken(new, order.not_after, order.uses)
    return known, [persist, Send(KeyLoaded(order.number, new.check_value)), Show(taken)]


def refuse_key(data: WorkData, event: KeyUnwrapped | KeyOperationFailed) -> tuple[WorkData, Effects]:
    """Keep nothing of it, and say so."""
    order = given(data.loading)
    unsupported = isinstance(event, KeyUnwrapped)
    reason = "policy admits no older algorithm" if isinstance(event, KeyUnwrapped) else event.reason
    known, persist = kept(replace(data, loading=None), heard=order.number)
    answer = Declined(order.number, Fault.UNSUPPORTED if unsupported else Fault.UNTRUSTED)
    return known, [persist, Send(answer), Show(KeyDeclined(order.number, reason))]


def use(data: WorkData, event: SecretWanted) -> tuple[WorkData, Effects]:
    """Count the use durably, then let key memory do it: a count is never behind (S8)."""
    secret, held = given(data.secret_for(event.usage))
    known = learned(data, event)
    used = replace(held, left=held.left - 1, seen=time_for(known, held))
    keys = tuple(used if each is held else each for each in data.record.keys)
    known, persist = kept(replace(known, using=event.tag), keys=keys)
    return known, [persist, UseSecret(secret, event.operation)]


def hand_over(data: WorkData, event: SecretUsed) -> tuple[WorkData, Effects]:
    """Give the controller what it wanted."""
    return replace(data, using=None), [Show(SecretAnswered(given(data.using), event.result))]


def tell_failure(data: WorkData, event: KeyOperationFailed) -> tuple[WorkData, Effects]:
    """Tell the controller that key memory would not; the use counts all the same."""
    return replace(data, using=None), [Show(SecretAnswered(given(data.using), None, event.reason))]


def expire_wanted(data: WorkData, event: SecretWanted) -> tuple[WorkData, Effects]:
    """Erase what has expired, and say why nothing comes."""
    known, effects = _expired(learned(data, event))
    return known, [*effects, Show(SecretAnswered(event.tag, None, f"the key for {event.usage.value} has expired"))]


def expire(data: WorkData, event: TimePassed | TimeTold) -> tuple[WorkData, Effects]:
    """Erase what has expired (L11)."""
    known, effects = _expired(learned(data, event))
    return known, [*_heard(event), *effects]


def note_age(data: WorkData, event: TimePassed | TimeTold) -> tuple[WorkData, Effects]:
    """Each key has lived until now: no clock that is set back later and no restart gives it a second life (S8)."""
    known = learned(data, event)
    keys = tuple(replace(held, seen=time_for(known, held)) for held in data.record.keys)
    known, persist = kept(known, keys=keys)
    return known, [*_heard(event), persist]


def remember_time(data: WorkData, event: TimePassed | TimeTold) -> tuple[WorkData, Effects]:
    """Not worth a write yet; what is written next has it."""
    return learned(data, event), _heard(event)


def _heard(event: TimePassed | TimeTold) -> list[Effect]:
    """A central system that tells the time is still there."""
    return [StopTimer("peer")] if isinstance(event, TimeTold) else []


def _is_over(data: WorkData, held: HeldKey) -> bool:
    """Whether no use is left or the time is over."""
    return held.left == 0 or time_for(data, held) > held.not_after


def _expired(data: WorkData) -> tuple[WorkData, Effects]:
    over = {held.label for held in data.record.keys if _is_over(data, held)}
    secrets = tuple(secret for secret in data.secrets if secret.label not in over)
    keys = tuple(held for held in data.record.keys if held.label not in over)
    known, persist = kept(replace(data, secrets=secrets), keys=keys)
    notes = [Show(KeyExpired(secret.usage, secret.check_value)) for secret in data.secrets if secret.label in over]
    return known, [persist, *notes]
