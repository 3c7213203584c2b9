"""Parties as black boxes: what a table promises on the wire, what was learned over the wire, and where they differ.

The promise is worked out from the table that runs in production and from nothing else: which row answers, what its
action sends and asks (as recorded when the parties were led through their lives), what follows from that by itself. The
only thing said by hand is what a letter of the alphabet is worth: which guards hold for it.

The learner (AALpy) sees letters and answers only. It asks until its machine and the promise are bisimilar, or until a
word is found on which the party says something else: the distinguishing word. Then, if wanted, the W-method goes
through every transition again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from aalpy import SUL, MealyMachine, MealyState, Oracle, WMethodEqOracle, bisimilar, run_KV
from intruder import Trap
from recorder import Recorder

from insitu.protocol.channel.opened import ChannelOpened
from insitu.protocol.engine import (
    ChannelLost,
    Close,
    DeadlinePassed,
    Fault,
    Forward,
    InsituError,
    LookUp,
    Persist,
    Send,
    Show,
    StartTimer,
    StateError,
    StopTimer,
    Table,
)
from insitu.protocol.messages import FaultNotice, Message

NOTHING: Final = "-"
"""There is nobody to say it to, or nothing comes back and nothing ends."""
CLOSED: Final = "closed"
PROOF: Final = "proof: "
"""Begins the names of the states in which a trust option's stage of proof runs, and not the party's own table."""
ANSWERS: Final[dict[str, str]] = {
    "GenerateKey": "KeyPairMade",
    "Sign": "Signed",
    "UseSecret": "SecretUsed",
    "StartPake": "PakeStarted",
    "FinishPake": "PakeFinished",
    "LookUp AttemptBegun": "AttemptAdmitted",
    "LookUp AttemptRight": "AttemptsForgotten",
    "LookUp ticket": "TicketAccepted",
    "UnwrapKey": "KeyUnwrapped",
    "RewrapKey": "KeyRewrapped",
    "Consult": "FingerprintsAgree",
    "LookUp certificate": "ModuleCertified",
    "LookUp approval": "JobQueued",
    "LookUp module": "ModuleFound",
    "LookUp command": "CommandFound",
    "LookUp transaction": "TransactionFound",
    "LookUp decision": "Decided",
    "LookUp card log": "CardLogFound",
    "LookUp verdict on a log": "LogHolds",
}
"""What comes back from ports, by what was asked, unless a letter says otherwise."""


@dataclass(frozen=True)
class Letter:
    """Something that can happen at the wire, or at the party's own side.

    Attributes:
        name: what the learner knows it by.
        event: the name of the event that the table sees.
        holds: the guards that hold for it; all others do not.
        say: the message, as a real peer would make it now; None: no message, `do` is done.
        do: what happens instead of a message; None: a channel is opened.
        answers: what ports answer for this letter, where it is not as in ANSWERS.
        own: it comes from the party's own side: a refusal is told there and ends nothing.
        objects: guards that do not choose a row but find fault with it.
        unkept: the code that is told where a port does not keep what it asks to be kept; None: it is kept.
        timer: the timer that runs out by it; it does nothing where that does not run.
        within: guards that hold besides, while a timer runs.

    """

    name: str
    event: str
    holds: frozenset[str] = frozenset()
    say: Callable[[Player], Message] | None = None
    do: Callable[[Player], None] | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    own: bool = False
    objects: frozenset[str] = frozenset()
    unkept: Fault | None = None
    timer: str = ""
    within: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def opens(self) -> bool:
        """Whether it is the beginning of a session."""
        return self.say is None and self.do is None


class Player:
    """One party and a real peer of it, who has keys and certificates and no table.

    Attributes:
        table: of the party.
        stage: of its trust option's proof, which runs first; None: there is nothing to prove.
        proved: the state of that in which the party's own table hears of the channel.
        letters: its alphabet.
        holds: guards that hold whatever the letter is, by the state in which the session began.
        anew: states after which a new session begins in another state than it ended in.
        begins: the state that the party is in at first, where it is not the table's.
        shortest: actions that do more where there is more to do, which there is not here.
        unheard: what actions do that no honest peer makes the party do, so that nothing was recorded.
        overhears: what the party says over its second link is heard as well.

    """

    table: Table[Any, Any]
    stage: Table[Any, Any] | None = None
    proved: str = "PROVED"
    letters: tuple[Letter, ...]
    holds: Mapping[str, frozenset[str]] = MappingProxyType({})
    anew: Mapping[str, str] = MappingProxyType({})
    begins: str = ""
    shortest: frozenset[str] = frozenset()
    unheard: Mapping[tuple[str, str], Done] = MappingProxyType({})
    overhears: bool = False

    def __init__(self) -> None:
        self.trap: Trap | None = None
        self._left = True

    def meet(self) -> Trap:
        """Open a channel to the party."""
        raise NotImplementedError

    @property
    def is_open(self) -> bool:
        """Whether a session runs."""
        return self.trap is not None and not self.trap.victim.session.closed

    def may_meet(self) -> bool:
        """Whether the party can begin a session now."""
        return self.trap is None or self.trap.victim.session.state in self._beginnings

    @property
    def _beginnings(self) -> tuple[Any, ...]:
        return (*self.table.entries, *(state for state in self.table.states if state.name in self.anew))

    def hear(self, letter: Letter) -> str:
        """Let it happen; what came back over the wire."""
        if letter.opens:
            if self.is_open or not self.may_meet():
                return NOTHING
            self.leave()
            self.trap, self._left = self.meet(), False
            return self._answer(0)
        if not self.is_open:
            return NOTHING
        trap = self.live
        mark = len(trap.intruder.got)
        try:
            if letter.say is not None:
                trap.say(letter.say(self))
            elif letter.do is not None:
                letter.do(self)
                trap.flow()
        except StateError:
            return "refused here"
        return self._answer(mark)

    @property
    def live(self) -> Trap:
        """The session that runs."""
        assert self.trap is not None
        return self.trap

    def _answer(self, mark: int) -> str:
        said = [
            f"fault {message.code.name}" if isinstance(message, FaultNotice) else type(message).__name__
            for message in self.live.intruder.got[mark:]
        ]
        if self.live.victim.session.closed:
            said.append(CLOSED)
        return ", ".join(said) or NOTHING

    def leave(self) -> None:
        """The session is over, whatever it was at."""
        if self.trap is not None and not self._left:
            self.trap.finish()
            self._left = True


def cut(player: Player) -> None:
    """The link is lost."""
    session = player.live.victim.session
    player.live.victim.take(session.lost("cut"))


def silence(player: Player) -> None:
    """Nothing is said until the first wait is over."""
    victim = player.live.victim
    if victim.timers:
        victim.take(victim.session.expire(min(victim.timers, key=lambda name: victim.timers[name]), victim.now()))


def runs_out(timer: str, *guards: str) -> Letter:
    """This timer runs out, if it runs; the promise then says when it does."""

    def run_out(player: Player) -> None:
        victim = player.live.victim
        if timer in victim.timers:
            del victim.timers[timer]
            victim.take(victim.session.expire(timer, victim.now()))

    name = f"the wait for {timer} is over"
    return Letter(name, DeadlinePassed.__name__, frozenset(guards), do=run_out, timer=timer)


LOST: Final = Letter("the link is lost", "ChannelLost", do=cut)
SILENCE: Final = Letter("silence", "DeadlinePassed", do=silence)


# The promise -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Done:
    """What an action does, as far as the wire and the ports are concerned: as recorded, the same every time."""

    sends: tuple[str, ...]
    asks: tuple[str, ...]
    close: Close | None
    forwards: tuple[str, ...] = ()
    keeps: bool = False
    timers: tuple[tuple[str, bool], ...] = ()
    """Those that it starts and stops, in order: whether it starts them."""


def recorded_actions(recorder: Recorder) -> dict[tuple[str, str], set[Done]]:
    """What each action did, by its name and that of the event."""
    found: dict[tuple[str, str], set[Done]] = {}
    for moment in recorder.moments:
        do = moment.arrow.row.do
        if do is not None:
            found.setdefault((do.__name__, type(moment.event).__name__), set()).add(_done(moment.step.effects))
    return found


def _done(effects: Iterable[object]) -> Done:
    sends, asks, forwards, close = [], [], [], None
    keeps, timers = False, []
    for effect in effects:
        if isinstance(effect, Send):
            sends.append(type(effect.message).__name__)
        elif isinstance(effect, Forward):
            forwards.append(type(effect.message).__name__)
        elif isinstance(effect, Close):
            close = Close(effect.fault)
        elif isinstance(effect, LookUp):
            by_kind = f"LookUp {type(effect.argument).__name__}"
            asks.append(by_kind if by_kind in ANSWERS else f"LookUp {effect.what}")
        elif type(effect).__name__ in ANSWERS:
            asks.append(type(effect).__name__)
        elif isinstance(effect, (StartTimer, StopTimer)):
            timers.append((effect.timer, isinstance(effect, StartTimer)))
        elif isinstance(effect, Persist):
            keeps = True
        else:
            assert isinstance(effect, Show)
    return Done(tuple(sends), tuple(asks), close, tuple(forwards), keeps, tuple(timers))


@dataclass(frozen=True)
class At:
    """A state of a promise.

    Attributes:
        state: of the table.
        since: where the session began that runs; "": none does.
        timers: that run, where the alphabet has any of them.

    """

    state: str
    since: str = ""
    timers: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.state} since {self.since}, {', '.join(sorted(self.timers))}"


class Promise:
    """What a table says that its party does on the wire, as a Mealy machine.

    Args:
        player: names the table and its alphabet.
        recorders: of that table, and of its stage of proof.

    """

    def __init__(self, player: type[Player], *recorders: Recorder) -> None:
        self._player = player
        self._is_timed = any(letter.timer for letter in player.letters)
        self._done = {name: done for each in recorders for name, done in recorded_actions(each).items()}
        self.machine = self._explored()

    def _explored(self) -> MealyMachine[str, str]:
        begin = At(self._player.begins or self._player.table.initial.name)
        states: dict[At, MealyState[str, str]] = {}
        waiting = [begin]
        while waiting:
            at = waiting.pop()
            if at in states:
                continue
            states[at] = MealyState(str(at))
            waiting += [self._answer(at, letter)[0] for letter in self._player.letters]
        for at, state in states.items():
            for letter in self._player.letters:
                then, said = self._answer(at, letter)
                state.transitions[letter.name], state.output_fun[letter.name] = states[then], said
        return MealyMachine(states[begin], list(states.values()))

    def _answer(self, at: At, letter: Letter) -> tuple[At, str]:
        if letter.opens:
            begin = self._player.anew.get(at.state, at.state)
            if at.since or begin not in {entry.name for entry in self._player.table.entries}:
                return at, NOTHING
            stage = self._player.stage
            return self._taken(At(begin if stage is None else PROOF + stage.initial.name, begin), letter)
        if not at.since or (letter.timer and letter.timer not in at.timers):
            return at, NOTHING
        return self._taken(at, letter)

    def _taken(self, before: At, letter: Letter) -> tuple[At, str]:
        state, since, running = before.state, before.since, before.timers - {letter.timer}
        always = letter.holds | self._player.holds.get(since, frozenset())
        said: list[str] = []
        waiting = [letter.event]
        while waiting:
            event = waiting.pop(0)
            proves = state.startswith(PROOF)
            holds = always.union(*(letter.within.get(timer, ()) for timer in running))
            arrow, known = self._arrow(state, event, holds, letter.objects)
            if arrow is None:
                if letter.own:
                    return before, "refused here"
                if event == ChannelLost.__name__:
                    return self._ended(since, holds, []) if proves else (At(state), CLOSED)
                if event == DeadlinePassed.__name__:
                    fault = Fault.TIMEOUT
                else:
                    fault = Fault.UNTRUSTED if known else Fault.UNEXPECTED
                return self._ended(since if proves else state, holds, [*said, f"fault {fault.name}"])
            done = self._of(arrow.row.do, event)
            if done.keeps and letter.unkept is not None:
                return self._ended(state, holds, [*said, f"fault {letter.unkept.name}"])
            state = f"{PROOF if proves else ''}{arrow.target.name}"
            if self._is_timed:
                for timer, starts in done.timers:
                    running = running | {timer} if starts else running - {timer}
            said += (*done.sends, *(done.forwards if self._player.overhears else ()))
            waiting += [letter.answers.get(ask, ANSWERS[ask]) for ask in done.asks]
            if event == ChannelLost.__name__:
                return At(state), CLOSED
            if done.close is not None:
                said += [] if done.close.fault is None else [f"fault {done.close.fault.name}"]
                if proves:
                    return self._ended(since, holds, said)
                return At(state), ", ".join([*said, CLOSED])
            if state == PROOF + self._player.proved:
                state = since
                waiting.append(ChannelOpened.__name__)
        return At(state, since, running), ", ".join(said) or NOTHING

    def _ended(self, state: str, holds: frozenset[str], said: list[str]) -> tuple[At, str]:
        """A refused step ends the session: the table hears of a lost channel."""
        arrow, _ = self._arrow(state, ChannelLost.__name__, holds)
        return At(state if arrow is None else arrow.target.name), ", ".join([*said, CLOSED])

    def _arrow(
        self, state: str, event: str, holds: frozenset[str], objects: frozenset[str] = frozenset()
    ) -> tuple[Any, bool]:
        table, name = self._player.table, state.removeprefix(PROOF)
        if state != name and self._player.stage is not None:
            table = self._player.stage
        known = [each for each in table.arrows if (each.source.name, each.row.on.__name__) == (name, event)]
        for each in known:
            guard = None if each.row.when is None else each.row.when.__name__
            if guard in objects:
                break
            if guard is None or guard in holds:
                return each, True
        return None, bool(known)

    def _of(self, do: Any, event: str) -> Done:
        if do is None:
            return Done((), (), None)
        found = self._done.get((do.__name__, event)) or {self._player.unheard[do.__name__, event]}
        if do.__name__ in self._player.shortest:
            return min(found, key=lambda done: (len(done.sends), done.sends, done.timers))
        (only,) = found
        return only


# The learner -------------------------------------------------------------------------------------------------


class Box(SUL):
    """A party, for AALpy: a new one for every word."""

    def __init__(self, begin: Callable[[], Player]) -> None:
        super().__init__()
        self._begin = begin
        self._letters = {letter.name: letter for letter in begin().letters}
        self._player = begin()

    def pre(self) -> None:
        """A party of which nothing has been asked yet."""
        self._player = self._begin()

    def post(self) -> None:
        """It is done with."""
        self._player.leave()

    def step(self, letter: str) -> str:
        """One letter."""
        try:
            return self._player.hear(self._letters[letter])
        except InsituError as error:
            return f"raised {type(error).__name__}"


class Against(Oracle):
    """Is the hypothesis what was promised? A word that tells them apart is asked of the party itself.

    Attributes:
        word: on which the party says something else than promised; None while there is none.

    """

    def __init__(self, alphabet: list[str], box: Box, promise: MealyMachine[str, str], more_states: int | None) -> None:
        super().__init__(alphabet, box)
        self._promise = promise
        self._more = more_states
        self.word: tuple[str, ...] | None = None

    def find_cex(self, hypothesis: MealyMachine[str, str]) -> tuple[str, ...] | None:
        """A word on which the hypothesis is wrong, or None."""
        word = bisimilar(hypothesis, self._promise, return_cex=True)
        if isinstance(word, tuple | list):
            said, promised = self.sul.query(tuple(word)), _run(self._promise, word)
            if said != promised:
                self.word = tuple(word)
                return None
            return tuple(word)
        hypothesis.characterization_set = hypothesis.compute_characterization_set()
        if self._more is not None:
            self.word = next(
                (word for word in self._suite(hypothesis, self._more) if self._differs(hypothesis, word)), None
            )
        return None

    def _suite(self, hypothesis: MealyMachine[str, str], more: int) -> list[tuple[str, ...]]:
        """The words of the W-method, longest first: what begins a word that was asked needs not be asked again."""
        cover = [(*state.prefix, letter) for state in hypothesis.states for letter in self.alphabet]
        method = WMethodEqOracle(self.alphabet, self.sul, len(hypothesis.states) + more)
        return sorted(set(method.test_suite(cover, more + 1, hypothesis.characterization_set)), key=len, reverse=True)

    def _differs(self, hypothesis: MealyMachine[str, str], word: tuple[str, ...]) -> bool:
        return self.sul.query(word) != _run(hypothesis, word)


def _run(machine: MealyMachine[str, str], word: Iterable[str]) -> list[str]:
    machine.reset_to_initial()
    return [machine.step(letter) for letter in word]


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes:
        states: of the machine that was learned.
        words: that the party was asked.
        difference: letter by letter, where the party does something else than promised; empty where it does not.

    """

    states: int
    words: int
    difference: str


def learned(
    begin: Callable[[], Player], promise: Promise, *, more_states: int | None = None, box: type[Box] = Box
) -> Learned:
    """Learn the party and hold it against the promise.

    Args:
        begin: makes a new party.
        promise: of its table.
        more_states: how many states more than the learned machine the W-method reckons with; None: it is not asked.
        box: how words are asked.

    """
    asked = box(begin)
    alphabet = [letter.name for letter in begin().letters]
    oracle = Against(alphabet, asked, promise.machine, more_states)
    machine = run_KV(alphabet, asked, oracle, "mealy", cache_and_non_det_check=True, print_level=0)
    difference = "" if oracle.word is None else told(oracle.word, promise, asked)
    return Learned(len(machine.states), asked.num_queries, difference)


def told(word: tuple[str, ...], promise: Promise, box: Box) -> str:
    """The word with what was promised and what was said."""
    lines = zip(word, _run(promise.machine, word), box.query(word), strict=True)
    return "\n".join(
        f"{letter}: {said}" if said == promised else f"{letter}: {said} (the table promises: {promised})"
        for letter, promised, said in lines
    )
