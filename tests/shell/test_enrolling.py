"""A card enrols at a central system: who gets in, what is changed, and what attacks and cuts leave behind (L14)."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from lives import dropping, new_host, wait_out
from pump import Line, NoStream, Side, enrollment, meeting
from trio.testing import MockClock
from world import DAY, PINS, SERIAL, YEAR, World

from insitu.protocol.engine import InsituError, ProtocolError, StateError, UsageError
from insitu.protocol.keys.certificates import CertificateRefused, key_digest
from insitu.protocol.keys.requests import read_request
from insitu.protocol.messages import CardRole, TrustOption
from insitu.protocol.parties.card_enrolling import CardEnrolled, CardEnrollingState
from insitu.protocol.parties.central_enrolling import CentralEnrollingState
from insitu.shell.card import Card
from insitu.shell.central import Central
from insitu.shell.enrolling import enrol, wait_for_card
from insitu.shell.operator import import_crl
from insitu.transports.links import Address, open_link


@pytest.fixture
def central(world: World) -> Central:
    return new_host(world)


def known(central: Central) -> list[bytes]:
    return [each.der for each in central.issuers()]


def untouched(world: World, central: Central, line: Line) -> None:
    """Nothing of the registry, the sealed files or the card's log has changed."""
    assert central.registry.issuers() == ()
    assert central.registry.audit() == ()
    assert central.record.root is None
    assert line.sides[0].result is None
    assert world.blank_card().record == world.card.record


# In good order


def test_the_key_is_entered_and_the_request_comes_back(world: World, central: Central):
    before = world.card.record
    line = enrollment(world, central).start().finish()
    card, host = line.sides
    assert (card.error, host.error) == (None, None)
    assert known(central) == [world.customer]
    assert central.record.root == world.root
    assert host.result == central.registry.issuers()[0]
    assert isinstance(card.result, CardEnrolled)
    request = read_request(card.result.request)
    assert (card.result.central, request.subject, request.public) == ("New host", "New host", central.key.public)
    assert world.blank_card().record == before, "the card keeps nothing, and its log has no new entry"
    (entry,) = central.registry.audit()
    assert (entry.actor, entry.action, entry.subject) == ("operator", "trusted", "Bank")
    assert entry.detail.startswith(f"{world.card.customer.fingerprint.hex()}, enrolled by the card itself, unit ")


def test_what_came_over_the_link_is_enough_to_go_to_work(world: World, central: Central):
    """Two people approve the request; then a module personalized by this card is let in."""
    line = enrollment(world, central).start().finish()
    request = read_request(line.sides[0].result.request)
    certificate = world.certify(CardRole.CENTRAL, request.subject, request.public)
    central.install(certificate)
    world.approved(CardRole.MODULE, SERIAL)
    meeting(world, unit=world.new_unit(central=certificate)).start().finish()
    from pump import contact

    line = contact(world, central=central).start()
    assert line.module.session.error is None
    assert central.registry.module(SERIAL) is not None


def test_the_same_card_again_changes_nothing(world: World, central: Central):
    enrollment(world, central).start().finish()
    audit = central.registry.audit()
    line = enrollment(world, central).start().finish()
    assert isinstance(line.sides[0].result, CardEnrolled)
    assert (known(central), central.registry.audit()) == ([world.customer], audit)


def test_a_central_system_at_work_takes_a_second_card(world: World):
    second = world.new_card("Second bank", "card 2")
    enrollment(world, world.central, card=second).start().finish()
    assert known(world.central) == [world.card.customer.der, second.customer.der]


# Who is not meant


def test_another_central_system_than_the_one_that_was_meant(world: World, central: Central):
    """Somebody in between shows a key of his own: the card tells him nothing, not even which card it is."""
    line = enrollment(world, central, meant_central=key_digest(world.central.key.public)).start().finish()
    assert "key of the central system" in str(line.sides[0].error)
    assert isinstance(line.sides[0].error, ProtocolError)
    assert not any(world.customer in frame for _, frame in line.crossed)
    untouched(world, central, line)


def test_another_card_than_the_one_that_was_meant(world: World, central: Central):
    """Of the same manufacturer, with the same name even (S11)."""
    for customer, name in (("Bank", "card 2"), ("Stranger", "card 3")):
        card = world.new_card(customer, name)
        line = enrollment(world, central, card=card, meant_card=world.card.customer.fingerprint).start().finish()
        assert "certificate of a card's signing key" in str(line.sides[1].error)
        untouched(world, central, line)


def test_a_card_of_another_manufacturer(world: World, central: Central):
    """Also if its fingerprint is the one that people told: every path ends at the root that they compared."""
    other = World(seed="other")
    line = enrollment(world, central, card=other.card).start().finish()
    assert isinstance(line.sides[1].error, CertificateRefused)
    untouched(world, central, line)


def test_no_second_manufacturer(world: World):
    other = World(seed="other")
    with pytest.raises(UsageError, match="another manufacturer's root"):
        enrollment(world, world.central, root=other.root)


def test_a_certificate_of_another_role_speaks_for_no_card(world: World, central: Central, monkeypatch):
    """A module's, say, by the same signing key and for a key that its holder has."""
    wrong = world.certify(CardRole.MODULE, "SN-9", world.card.authentication.public)
    from insitu.protocol.channel.edhoc.credentials import Credential
    from insitu.protocol.channel.trust import CardEnrolling

    def of(customer: Any, unit: bytes, key: Any, central: bytes, *, now: int) -> CardEnrolling:
        return CardEnrolling(central, Credential.x5chain((wrong, customer.der), key.public), key)

    monkeypatch.setattr(CardEnrolling, "of", of)
    line = enrollment(world, central).start().finish()
    assert "role" in str(line.sides[1].error)
    untouched(world, central, line)


def test_a_revoked_or_lost_card_does_not_enrol(world: World):
    second = world.new_card("Second", "card 2")
    world.manufacturer.revoke(world.manufacturer.number_of(second.customer.der))
    import_crl(world.central, world.manufacturer.sign_list(), actor="operator")
    line = enrollment(world, world.central, card=second).start().finish()
    assert "customer certificate of Second is revoked" in str(line.sides[1].error)
    fingerprint = world.card.customer.fingerprint
    world.central.registry.disable_issuer(fingerprint, lost=world.clock(), keep_known=False, actor="a", at=1)
    line = enrollment(world, world.central).start().finish()
    assert "was disabled" in str(line.sides[1].error)
    assert line.sides[0].result is None
    assert [each.lost is not None for each in world.central.registry.issuers()] == [True]


def test_a_card_whose_certificates_do_not_count_notices_itself(world: World, central: Central):
    blank = world.blank_card("blank")
    for card, says in ((blank, "blank"), (furnished(world), "waits for the manufacturer")):
        with pytest.raises(StateError, match=says):
            enrollment(world, central, card=card, meant_card=bytes(32))
    without_unit = furnished(world, "third")
    without_unit.install(world.root, world.manufacturer.sign_customer(requests["third"]))
    with pytest.raises(StateError, match="the unit has no certificate"):
        enrollment(world, central, card=without_unit)
    world.card.sign_list(world.approved_list(world.card.number_of(world.card.unit)).number)
    with pytest.raises(CertificateRefused, match="revoked since"):
        enrollment(world, central)
    world.clock.at += 2 * YEAR
    with pytest.raises(CertificateRefused, match="not valid"):
        enrollment(world, central)


requests: dict[str, bytes] = {}


def furnished(world: World, name: str = "furnished") -> Card:
    card = world.blank_card(name)
    requests[name] = card.furnish("New bank", PINS)
    return card


@pytest.mark.parametrize(("ahead", "accepted"), [(0, True), (300, True), (301, False), (-2 * YEAR, False)])
def test_the_cards_clock_may_be_a_little_ahead(world: World, central: Central, ahead, accepted):
    """Its certificates were made by that clock: the one of its authentication key this second."""
    world.clock.at += DAY
    world.certify(CardRole.UNIT, "Bank unit 2", world.card.authentication.public)
    host = Central(
        world.vault("central New host"), central.registry, blocking=False, now=lambda: world.clock.at - ahead
    )
    line = enrollment(world, host).start().finish()
    assert (line.sides[1].error is None) is accepted


# Cuts and replays


@pytest.mark.parametrize("silent", [False, True], ids=["cut", "silent"])
def test_whatever_is_lost_leaves_the_registry_as_it_was_or_with_the_key(world: World, silent):
    ends = []
    for number in range(8):
        world = World()
        central = new_host(world)
        if silent:
            line = enrollment(world, central, hook=dropping(number)).start()
            wait_out(line)
        else:
            line = enrollment(world, central, cut_after=number).start()
        line.finish()
        card, host = line.sides
        entered = known(central) == [world.customer]
        assert entered is (host.session.state is CentralEnrollingState.ENROLLED)
        if not entered:
            untouched(world, central, line)
        if isinstance(card.result, CardEnrolled):
            assert entered, "nobody is told what is not so"
        ends.append((entered, card.session.state))
        again = enrollment(world, central).start().finish()
        assert isinstance(again.sides[0].result, CardEnrolled)
        assert known(central) == [world.customer]
        assert len(central.registry.audit()) == 1
    assert (False, CardEnrollingState.UNCONFIRMED) in ends
    assert (True, CardEnrollingState.UNCONFIRMED) in ends
    assert ends[-1] == (True, CardEnrollingState.ENROLLED)


def test_a_registry_that_is_away_enters_nothing(world: World, central: Central, monkeypatch):
    from insitu.protocol.stores.registry import RegistryAway

    def away(*_: object, **__: object) -> None:
        raise RegistryAway("the registry does not answer", who="registry")

    with monkeypatch.context() as patch:
        patch.setattr(central.registry, "trust", away)
        line = enrollment(world, central).start().finish()
    assert "does not answer" in str(line.sides[1].error)
    assert line.sides[0].session.state is CardEnrollingState.UNCONFIRMED, "it is not told what is not so"
    assert central.registry.issuers() == ()
    enrollment(world, central).start().finish()
    assert known(central) == [world.customer]


def test_recorded_frames_enter_nothing_again(world: World, central: Central):
    """What the card said once is said again to a fresh session of the same central system, as far as it listens."""
    frames = enrollment(world, central).start().finish().sides[0].sent
    assert len(frames) == 3
    fresh = World()
    host = new_host(fresh)
    host.entropy(64)  # of a session in between
    line = enrollment(fresh, host, hook=replaying(frames)).start().finish()
    assert line.sides[1].session.state is CentralEnrollingState.FAILED
    untouched(fresh, host, line)


def replaying(frames: list[bytes]) -> Any:
    """What the card says is replaced by what it said once."""
    left = list(frames)

    def hook(line: Line, sender: Side, _number: int, _frame: bytes) -> list[bytes] | None:
        if sender is line.sides[0]:
            return [left.pop(0)] if left else []
        return None

    return hook


def test_no_byte_can_be_changed(world: World):
    """One bit of each frame, in either direction: nothing is entered that was not said."""
    for number in range(6):
        fresh = World()
        host = new_host(fresh)

        def flip(_line: Line, _sender: Side, count: int, frame: bytes, at: int = number) -> list[bytes]:
            return [bytes((*frame[:-1], frame[-1] ^ 1))] if count == at else [frame]

        line = enrollment(fresh, host, hook=flip).start().finish()
        assert isinstance(line.sides[0].error or line.sides[1].error, InsituError)
        if number < 5:
            assert host.registry.issuers() == ()
        assert line.sides[0].result is None


def test_channels_for_other_purposes_enrol_nobody(world: World, central: Central):
    """A module that turns up at the port for cards, and a card at that for modules (S13)."""
    from pump import personalize

    personalize(world)
    stream: Any = NoStream()
    module = Side("module", world.module.work(stream))
    card = enrollment(world, central).sides[0]
    host = enrollment(world, central).sides[1]
    Line(module, host).start().finish()
    assert "enroll under certificates" in str(host.error)
    at_work = Side("central", world.central.attend(stream))
    Line(card, at_work).start().finish()
    assert "operate under certificates" in str(at_work.error)
    unit_side = meeting(world, TrustOption.CERTIFICATES) if world.approved(CardRole.MODULE, SERIAL) else None
    assert unit_side is not None
    Line(enrollment(world, central).sides[0], unit_side.peer).start().finish()
    assert "personalize" in str(unit_side.peer.error)
    assert central.registry.issuers() == ()


# Over links


async def test_strangers_at_the_port_are_told_of_and_the_card_gets_in(world: World, autojump_clock: MockClock):
    central, told = new_host(world), []
    where = Address.parse("memory:enrolling")
    ready = trio.Event()
    stranger = world.new_card("Stranger", "card 2")
    about: dict[str, Any] = {"now": world.clock}

    async def serve() -> None:
        await wait_for_card(
            central,
            where,
            world.root,
            world.card.customer.fingerprint,
            actor="operator",
            ready=lambda _: ready.set(),
            tell=told.append,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        await ready.wait()
        silent = await open_link(where)
        garbage = await open_link(where)
        await garbage.stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        link = await open_link(where)
        with pytest.raises(InsituError):
            await enrol(stranger, link.stream, key_digest(central.key.public), **about)
        link = await open_link(where)
        with pytest.raises(InsituError):
            await enrol(world.card, link.stream, key_digest(world.central.key.public), **about)
        await trio.sleep(DAY)
        link = await open_link(where)
        enrolled = await enrol(world.card, link.stream, key_digest(central.key.public), **about)
        await silent.aclose()
    assert enrolled.central == "New host"
    assert len(told) == 4
    assert known(central) == [world.card.customer.der]
