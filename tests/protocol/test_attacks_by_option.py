"""Every trust option against the same attacks: what must hold holds, and what is said not to hold is found (A1-A9).

One attacker for all options. He owns the link; he has a card of another manufacturer's customer, a card of another
customer of ours, and a genuine module that he stole, with all keys, secrets, tickets and TANs that belong to it. Each
attack says in `FALLS` which options it defeats: those, and no other, are what `insitu trust` says is not protected
against. What is done to single frames (doubled, dropped, swapped, reflected, altered, replayed) is tried for every
option in test_attacks.py; that each check is missed when it is taken away, in test_formal_checks.py,
test_formal_options.py, channel/trust/test_secret.py and channel/trust/test_conveyed.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from courier import Courier
from intruder import Intruder, Trap
from pump import Line, NoStream, Side, meeting, personalize, sound
from taken_away import (
    Patch,
    Unguarded,
    do_not_pin_the_serial,
    leave_the_exporter_out_of_both_proofs,
    let_the_certificates_bring_their_root,
    let_the_session_bring_its_root,
    present_own_key,
)
from world import NOW, SERIAL, Seeded, Stored, World, shared_secret, shipped_key

from insitu.protocol.channel import proofs
from insitu.protocol.channel.opened import Peer
from insitu.protocol.channel.trust import UnitByTicket
from insitu.protocol.channel.trust.options import DESCRIPTIONS
from insitu.protocol.channel.trust.terms import fresh_credential
from insitu.protocol.engine import KeyKind, StateError
from insitu.protocol.keys.public import decompress
from insitu.protocol.messages import (
    CardRole,
    Certificates,
    GenerateKeyPair,
    KeyPolicy,
    ModuleKey,
    NumberMaker,
    Purpose,
    TrustOption,
)
from insitu.protocol.parties.module_data import ModuleState
from insitu.protocol.parties.unit import UNIT, a_known_module_proves_possession
from insitu.shell import unit as unit_shell
from insitu.shell.card import Card
from insitu.shell.module import Module
from insitu.shell.trusting import Means, Mobiles, ModuleHas, UnitHas, module_terms, unit_terms
from insitu.shell.unit import Unit

OPTIONS: Final = list(TrustOption)
BY_OPTION = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.text)
STOLEN: Final = "SN-stolen"

PROVED_BY_THE_UNIT: Final = (TrustOption.SHIPPED_KEY, TrustOption.SECRET, TrustOption.TAN, TrustOption.CONVEYED)
"""Here the unit proves something in the channel before the module listens to it."""
NOBODY: Final[frozenset[TrustOption]] = frozenset()
FALLS: Final = {
    "split and relay": NOBODY,
    "split, with a key of his own": frozenset({TrustOption.PHYSICAL}),
    "split, with a key of his own, and a person who looks": NOBODY,
    "an anchor of his own": NOBODY,
    "another customer of the same manufacturer": frozenset(
        {TrustOption.PHYSICAL, TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY, TrustOption.TICKET}
    ),
    "a stolen module": NOBODY,
    "a stolen module that lies about its serial number": frozenset({TrustOption.PHYSICAL}),
}
"""What gets through, under which options."""


# What the attacker has ---------------------------------------------------------------------------------------


def guesses() -> Means:
    """No key, secret or TAN of the module that is attacked, but some of his own invention, and a mobile of his own."""
    mallory = World(seed="mallory")
    mallory.issue_tan(SERIAL)
    mobiles = Mobiles(frozenset({"certificate 66"}), Courier(Seeded("evil")).at_module(), NumberMaker.UNIT)
    return Means(shipped_key=b"a guess, no more", secret=b"a guess, no more", book=mallory.book(), mobiles=mobiles)


def as_unit(world: World, option: TrustOption, card: Card | None = None) -> Intruder:
    """His end towards the module, with a card of another manufacturer's customer, or this one.

    He knows our manufacturer's root, as anybody may.
    """
    card = card or World(seed="other").card
    if option is TrustOption.TICKET:  # his card gave out none, and to the module none is shown
        key = card.keys.generate("session", KeyKind.P256, b"")
        return Intruder(UnitByTicket.of(card.record.name, key, SERIAL), card.keys)
    has = UnitHas(card, card.keys, SERIAL, NOW, None, guesses(), wired=True, entropy=Seeded("as unit"))
    terms: Any = unit_terms(option, has)
    if getattr(terms, "root", None) is not None:
        terms = replace(terms, root=world.card.root)
    return Intruder(terms, card.keys)


def stolen_module(world: World, option: TrustOption) -> Module:
    """A genuine one, delivered, with whatever the option gives it; an identity only where it cannot do without."""
    identity = option in (TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY, TrustOption.TICKET)
    module = world.new_module(STOLEN, identity=identity)
    world.equip(option, module)
    return module


def as_module(world: World, option: TrustOption) -> Intruder:
    """His end towards the unit: the stolen module, which says that it is the one of the job wherever it can."""
    record, vault = stolen_module(world, option).record, world.vault(STOLEN)
    if record.identity is None:
        record = replace(record, serial=SERIAL)
    mobile = Courier(Seeded("evil")).at_module()
    terms: Any = module_terms(option, ModuleHas(record, vault, wired=True, entropy=Seeded("module"), mobile=mobile))
    if option is TrustOption.TICKET:
        terms = replace(terms, own=fresh_credential(SERIAL, terms.key))
    return Intruder(terms, vault, Purpose.PERSONALIZE, seed="as module")


def facing_module(world: World, option: TrustOption, intruder: Intruder) -> Trap:
    world.equip(option)
    return Trap(Side("module", world.module.meet_unit(NoStream(), option, wired=True)), intruder)  # type: ignore[arg-type]


def facing_unit(world: World, option: TrustOption, intruder: Intruder, **about: Any) -> Trap:
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    work = world.new_unit(**about).personalize(NoStream(), SERIAL, option, wired=True)  # type: ignore[arg-type]
    return Trap(Side("unit", work), intruder)


# The attacks: each says whether it got through ---------------------------------------------------------------


def split_and_relay(world: World, option: TrustOption) -> bool:
    """Two half channels, as far as he gets in, and every message of one passed on in the other."""
    halves = facing_module(world, option, as_unit(world, option)), facing_unit(world, option, as_module(world, option))
    told = [0, 0]
    for turn in range(24):
        source, target = halves[turn % 2], halves[1 - turn % 2]
        heard = source.intruder.got[told[turn % 2] :]
        told[turn % 2] += len(heard)
        for message in heard:
            if target.intruder.is_in and not target.victim.session.closed:
                target.say(message)
    for half in halves:
        half.finish()
    return operates(world) or is_certified(world)


def own_key(world: World, option: TrustOption) -> bool:
    """The half towards the unit goes on alone, with a key pair of the attacker's. The person says yes to anything."""
    return present_own_key(world, facing_unit(world, option, as_module(world, option)))


def own_key_and_a_person_who_looks(world: World, option: TrustOption) -> bool:
    """The same, and the person finds that the module shows another fingerprint, or none."""
    return present_own_key(world, facing_unit(world, option, as_module(world, option), compare=lambda _: False))


def own_anchor(world: World, option: TrustOption) -> bool:
    """He knows what documents, envelopes and people know, and his mobile is ours; but his card has another root."""
    other = World(seed="other")
    if option not in PROVED_BY_THE_UNIT:
        return hand_over(world, option, other)
    world.equip(option)
    other.approved(CardRole.MODULE, SERIAL)
    about: Any = {"means": lambda _: world.means_for(SERIAL), "now": world.clock, "entropy": Seeded("own anchor")}
    unit = Unit(other.card, other.central_certificate, **about)
    module = Side("module", world.module.meet_unit(NoStream(), option, wired=True))  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Card, "root", world.card.root)  # as anybody may know it
        side = Side("unit", unit.personalize(NoStream(), SERIAL, option, wired=True))  # type: ignore[arg-type]
    Line(module, side).start().finish()
    assert "KeyMade" in map(name_of, world.shown), "it was stopped before its anchor could count"
    return operates(world)


def other_customer(world: World, option: TrustOption) -> bool:
    """A card that our manufacturer certified for somebody else; he knows no key, secret or TAN of this module."""
    customer = world.customer
    other = World()
    other.card = world.new_card("Evil bank", "evil card")
    other.customer, world.customer = world.customer, customer
    key = world.vault("evil host").generate("host", KeyKind.P256, b"").public
    other.central_certificate = world.certify(CardRole.CENTRAL, "Evil host", key, card=other.card)
    return hand_over(world, option, other)


def hand_over(world: World, option: TrustOption, other: World) -> bool:
    """Somebody else's unit personalizes our module, as far as it gets; whether the module keeps his certificates."""
    trap = facing_module(world, option, as_unit(world, option, other.card))
    if trap.intruder.is_in and not trap.victim.session.closed:
        trap.say(GenerateKeyPair(job=bytes(16), salt=bytes(32), policy=KeyPolicy.NEW, time=NOW))
    for key in [message for message in trap.intruder.got if isinstance(message, ModuleKey)]:
        public = decompress(KeyKind.P256, key.public_key)
        certificate = other.certify(CardRole.MODULE, SERIAL, public, card=other.card)
        customer = None if option is TrustOption.CERTIFICATES else other.customer
        trap.say(Certificates(module=certificate, central=other.central_certificate, customer=customer))
    trap.finish()
    return operates(world) and world.module.record.customer == other.customer


def a_stolen_module(world: World, option: TrustOption) -> bool:
    """It answers, honest and with everything of its own, when another one is to be personalized."""
    return answer(world, option, stolen_module(world, option))


def a_stolen_module_that_lies(world: World, option: TrustOption) -> bool:
    """Its store was opened: it says that it is the module of the job, with the keys and secrets of its own."""
    stolen = stolen_module(world, option)
    if stolen.record.identity is not None:  # its own program would refuse so wrong a record; his does not
        return own_key(World(), option)
    stolen._keeping.commit(replace(stolen.record, serial=SERIAL), stolen.keys.labels())
    return answer(world, option, stolen)


def answer(world: World, option: TrustOption, stolen: Module) -> bool:
    """The stolen module meets the unit in the place of the other one; no mobile of ours stands beside it."""
    world.equip(option)
    world.approved(CardRole.MODULE, SERIAL)
    unit = Side("unit", world.new_unit().personalize(NoStream(), SERIAL, option, wired=True))  # type: ignore[arg-type]
    evil = Courier(Seeded("evil"), name="certificate 66", unit=world.courier.unit)
    stolen._mobile = evil.at_module
    Line(Side("module", stolen.meet_unit(NoStream(), option, wired=True)), unit).start().finish()  # type: ignore[arg-type]
    return is_certified(world)


def name_of(note: object) -> str:
    return type(note).__name__


def operates(world: World) -> bool:
    return world.module.state is ModuleState.OPERATING


def is_certified(world: World) -> bool:
    """Whether our card made a certificate for the module of the job."""
    return f'"{SERIAL}"' in world.card.export_log().decode()


ATTACKS: Final[dict[str, Callable[[World, TrustOption], bool]]] = {
    "split and relay": split_and_relay,
    "split, with a key of his own": own_key,
    "split, with a key of his own, and a person who looks": own_key_and_a_person_who_looks,
    "an anchor of his own": own_anchor,
    "another customer of the same manufacturer": other_customer,
    "a stolen module": a_stolen_module,
    "a stolen module that lies about its serial number": a_stolen_module_that_lies,
}


@pytest.mark.parametrize("attack", ATTACKS)
@BY_OPTION
def test_an_attack_gets_through_only_where_it_is_said_to(attack, option):
    world = World()
    got_through = ATTACKS[attack](world, option)
    assert got_through is (option in FALLS[attack])
    if not got_through:
        assert world.module.state is ModuleState.DELIVERED
        assert world.module.record.key is None
        assert not is_certified(world)
        sound(world)


# What stops it: the same attack once the check is taken away --------------------------------------------------


def believe_whoever_is_there(patch: Patch, _: World) -> None:
    """The unit asks nobody to compare."""
    patch.setattr(unit_shell, "UNIT", Unguarded(UNIT, a_known_module_proves_possession))
    patch.setattr(Peer, "is_known", True)


def leave_the_exporter_out_of_all_proofs(patch: Patch, world: World) -> None:
    leave_the_exporter_out_of_both_proofs(patch, world)
    full = proofs.possession_of_secret
    patch.setattr(proofs, "possession_of_secret", lambda _, *words: full(bytes(32), *words))


MISSED: Final[list[tuple[str, TrustOption, Callable[[Patch, World], None]]]] = [
    ("split and relay", TrustOption.PHYSICAL, leave_the_exporter_out_of_both_proofs),
    ("split and relay", TrustOption.SHIPPED_KEY, leave_the_exporter_out_of_all_proofs),
    ("split, with a key of his own", TrustOption.CERTIFICATES, do_not_pin_the_serial),
    ("split, with a key of his own", TrustOption.CERTIFICATES_ONE_WAY, do_not_pin_the_serial),
    ("split, with a key of his own, and a person who looks", TrustOption.PHYSICAL, believe_whoever_is_there),
    ("an anchor of his own", TrustOption.CERTIFICATES, let_the_session_bring_its_root),
    *(
        ("an anchor of his own", option, let_the_certificates_bring_their_root)
        for option in OPTIONS
        if option is not TrustOption.CERTIFICATES
    ),
    ("a stolen module that lies about its serial number", TrustOption.CERTIFICATES_ONE_WAY, do_not_pin_the_serial),
]


@pytest.mark.parametrize(("attack", "option", "remove"), MISSED, ids=lambda each: getattr(each, "text", None))
def test_without_the_check_it_gets_through(attack, option, remove, monkeypatch):
    world = World()
    remove(monkeypatch, world)
    assert ATTACKS[attack](world, option)


def test_what_falls_is_said_where_the_option_is_chosen():
    """`insitu trust` and the README's table."""
    words = {
        "split, with a key of his own": "says yes without looking",
        "another customer of the same manufacturer": "another customer of the same manufacturer",
        "a stolen module that lies about its serial number": "claims the expected serial number",
    }
    for attack, options in FALLS.items():
        for option in options:
            assert words[attack] in DESCRIPTIONS[option].leaves
    for option in set(OPTIONS) - FALLS["another customer of the same manufacturer"]:
        assert "another customer" not in DESCRIPTIONS[option].leaves


# Downgrade of method and suite; the options among each other are in test_attacks.py ---------------------------


@pytest.mark.parametrize("place", ["method", "suite"])
@BY_OPTION
def test_no_method_or_suite_can_be_talked_down(option, place):
    """S13: METHOD and SUITES_I of message_1 (RFC 9528 section 5.2.1), each other value in their place."""
    position = ("method", "suite").index(place)
    honest = personalize(World(seed="earlier"), option).crossed[0][1][position]
    for other in {0, 1, 2, 3, 4, 5, 6, 24, 25} - {honest}:
        world = World()

        def hook(_: Line, __: Side, number: int, frame: bytes, other: int = other) -> list[bytes] | None:
            return None if number else [frame[:position] + bytes((other,)) + frame[position + 1 :]]

        world.approved(CardRole.MODULE, SERIAL)
        line = meeting(world, option, hook=hook).start().finish()
        assert line.peer.error is not None
        assert line.peer.session._handshake.opened is None
        assert world.module.state is ModuleState.DELIVERED
        sound(world)


# Parallel sessions -------------------------------------------------------------------------------------------


class Aside:
    """Where a second unit's frames go: to the attacker."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.frames: list[bytes] = []
        side.line = self  # type: ignore[assignment]

    def carry(self, _: Side, frame: bytes) -> None:
        self.frames.append(frame)


def twin_of(world: World) -> Card:
    """The card as somebody copied it, approvals included."""
    vault = Stored.of(world.vault("card")).restored("twin")
    return Card(vault, entropy=Seeded("twin"), now=world.clock)


class SlipIn:
    """A hook that lets the second unit hear the module, and once puts its answer in the place of the first one's."""

    def __init__(self, aside: Aside, number: int) -> None:
        self.aside, self.number, self.done = aside, number, 0

    def __call__(self, line: Line, sender: Side, number: int, frame: bytes) -> list[bytes] | None:
        if sender is line.module:
            if not self.aside.side.session.closed:
                self.aside.side.receive(frame)
        elif number == self.number and self.aside.frames:
            self.done += 1
            return [self.aside.frames[-1]]
        return None


@BY_OPTION
def test_s12_of_two_units_that_hear_the_same_module_one_is_answered(option):
    """Two units with copies of one card hear the same module; an answer of the second one is slipped in once.

    Fresh keys on each side: no answer of one session is any in the other.
    """
    count = len(personalize(World(seed="earlier"), option).crossed)
    slipped = 0
    for swapped in range(count):
        world = World()
        world.equip(option)
        world.approved(CardRole.MODULE, SERIAL)
        unit = world.new_unit(twin_of(world))
        second = Side("unit", unit.personalize(NoStream(), SERIAL, option, wired=True))  # type: ignore[arg-type]
        aside = Aside(second)
        second.take(second.session.start(second.now()))

        slip_in = SlipIn(aside, swapped)
        line = meeting(world, option, hook=slip_in).start().finish()
        slipped += slip_in.done
        second.take(second.session.lost("cut"))
        second.finish()
        sound(world, line)
        certified = world.card.export_log().decode().count('"result"')
        assert certified <= World().card.export_log().decode().count('"result"') + 1
        if operates(world):
            assert world.module.record.module == line.peer.session.data.certificate
    assert slipped >= 2


@BY_OPTION
def test_a_module_has_one_session_with_units_at_a_time(option):
    world = World()
    world.equip(option)
    first = Side("module", world.module.meet_unit(NoStream(), option, wired=True))  # type: ignore[arg-type]
    with pytest.raises(StateError, match="a session with the unit is running"):
        Side("module", world.module.meet_unit(NoStream(), option, wired=True))  # type: ignore[arg-type]
    first.abandon()
    Side("module", world.module.meet_unit(NoStream(), option, wired=True)).abandon()  # type: ignore[arg-type]


# What crosses ------------------------------------------------------------------------------------------------


@BY_OPTION
def test_s9_nothing_that_was_shared_beforehand_crosses_or_is_shown(option):
    """Shipped key, secret, TAN: neither on the wire nor in a note, in no form in which people write them."""
    world = World()
    world.equip(option)
    tan = world.envelopes.get(SERIAL, "")
    line = personalize(world, option)
    assert line.peer.error is None
    heard = b"".join(frame for _, frame in line.crossed) + repr(world.shown).encode()
    heard += b"".join(repr(effect).encode() for side in line.sides for effect in side.performed)
    secrets = {shipped_key(SERIAL), shared_secret(SERIAL), tan.replace(" ", "").encode(), tan.encode()} - {b""}
    for secret in secrets:
        assert secret not in heard
        assert secret.hex().encode() not in heard
    assert (option is TrustOption.TAN) is bool(tan)


KEPT_OUT_OF_THE_CHANNEL: Final = {
    "by the module": frozenset({TrustOption.CERTIFICATES}),
    "by the unit": frozenset(
        {TrustOption.CERTIFICATES, TrustOption.CERTIFICATES_ONE_WAY, TrustOption.SECRET, TrustOption.TAN}
    ),
}
"""Where a certificate in the handshake stops him; under all other options he is in, and what comes later must do it."""


@BY_OPTION
def test_the_attacker_gets_as_far_as_the_option_lets_anybody(option):
    """Else the attacks above would show nothing: it is not his own end that fails."""
    world = World()
    to_module = facing_module(world, option, as_unit(world, option)).intruder
    assert to_module.is_in is (option not in KEPT_OUT_OF_THE_CHANNEL["by the module"])
    world = World()
    to_unit = facing_unit(world, option, as_module(world, option)).intruder
    assert to_unit.is_in is (option not in KEPT_OUT_OF_THE_CHANNEL["by the unit"])
