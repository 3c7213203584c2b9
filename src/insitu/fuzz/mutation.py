"""How an input becomes another one: by what its shape has, types, lengths, keys and nesting, and only then by bytes.

Everything is drawn from the generator that is handed in: the same seed gives the same inputs. A coverage-guided
engine uses the same mutator as its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from .items import ARRAY, INDEFINITE, MAP, OTHER, RAW, TAG, Node, read_all, write_all
from .octets import mutate_bytes, mutate_text
from .target import Shape
from .tlv import TlvNode, read_tlv, write_tlv

LONGEST: Final = 70_000
"""Bytes of an input at most: a little more than the longest frame."""
USUAL: Final = 8_192
"""Bytes at most of all but a few inputs, since long ones take the time of many."""
RARELY: Final = 0.01

TIDY: Final = 0.5
"""Share of CBOR that is written well after it was changed: it passes the reader and meets what stands behind."""

Corpus = Sequence[bytes]

INTEGERS: Final = sorted(
    {edge + off for edge in (0, 24, 1 << 8, 1 << 16, 1 << 31, 1 << 32, 1 << 53, 1 << 63) for off in (-1, 0, 1)} - {-1}
    | {(1 << 64) - 1, 2, 3, 64, 4096}
)
LENGTHS: Final = (0, 1, 8, 12, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 255, 256)
GREAT: Final = (4_096, 65_535)
LEVELS: Final = (1, 2, 7, 8, 9, 33, 1_000)


class Mutator:
    """Makes inputs out of inputs.

    Args:
        shape: what they are made of.
        chance: where all choices come from.

    """

    def __init__(self, shape: Shape, chance: Random) -> None:
        self._chance = chance
        self._by_shape = {
            Shape.CBOR: self._cbor,
            Shape.FRAMES: self._frames,
            Shape.DER: self._der,
            Shape.TEXT: self._text,
            Shape.BYTES: self._bytes,
        }[shape]

    def mutate(self, data: bytes, corpus: Corpus) -> bytes:
        """Another input like `data`; parts of those in `corpus` may come into it."""
        for _ in range(1 + self._few()):
            data = self._by_shape(data, corpus)
        return data if len(data) <= USUAL else data[: LONGEST if self._chance.random() < RARELY else USUAL]

    def _few(self) -> int:
        """Mostly 0, sometimes more."""
        return min(int(self._chance.expovariate(1.2)), 5)

    def _other(self, corpus: Corpus) -> bytes:
        return self._chance.choice(corpus) if corpus else b""

    # Shapes

    def _bytes(self, data: bytes, corpus: Corpus) -> bytes:
        return mutate_bytes(data, self._other(corpus), self._chance)

    def _text(self, data: bytes, corpus: Corpus) -> bytes:
        return mutate_text(data, self._other(corpus), self._chance)

    def _cbor(self, data: bytes, corpus: Corpus) -> bytes:
        items = read_all(data)
        if items is None or not items or self._chance.random() < 0.08:
            return mutate_bytes(data, self._other(corpus), self._chance)
        self._change_some(items, corpus)
        if self._chance.random() < TIDY:
            for item in items:
                item.tidy()
        return write_all(items)

    def _frames(self, data: bytes, corpus: Corpus) -> bytes:
        frames = cut(data)
        chance = self._chance
        way = chance.random()
        place = chance.randrange(len(frames)) if frames else 0
        if way < 0.05 or not frames:
            return mutate_bytes(data, self._other(corpus), chance)
        if way < 0.12:
            frames.insert(place, chance.choice(frames))
        elif way < 0.20 and len(frames) > 1:
            del frames[place]
        elif way < 0.26 and len(frames) > 1:
            other = chance.randrange(len(frames))
            frames[place], frames[other] = frames[other], frames[place]
        elif way < 0.34 and (others := cut(self._other(corpus))):
            frames[place : place + chance.randrange(2)] = [chance.choice(others)]
        elif way < 0.38:
            del frames[place + 1 :]
        else:
            frames[place] = self._cbor(frames[place], cut(self._other(corpus)))[:65_535]
        return joined(frames)

    def _der(self, data: bytes, corpus: Corpus) -> bytes:
        chance = self._chance
        nodes = read_tlv(data)
        if not nodes or chance.random() < 0.1:
            return mutate_bytes(data, self._other(corpus), chance)
        holder, place = _pick_tlv(nodes, chance)
        node = holder[place]
        match chance.randrange(14):
            case 0:
                del holder[place]
            case 1:
                holder.insert(place, node)
            case 2:
                other = chance.randrange(len(holder))
                holder[place], holder[other] = holder[other], holder[place]
            case 3:
                holder[place] = TlvNode(chance.choice((node.tag ^ 0x20, node.tag ^ 0x80, chance.randrange(256))), node)
            case 4:
                node.form = chance.choice((1, 2, 4, -1))
            case 5:
                node.more = chance.choice((-1, 1, 127, 65_536))
            case 6 if donor := read_tlv(self._other(corpus)):
                source, at = _pick_tlv(donor, chance)
                holder[place] = source[at]
            case 7:
                holder[place] = TlvNode(0x30, None, [node])
            case _:
                if node.children is None:
                    node.content = mutate_bytes(node.content, b"", chance)
                else:
                    node.children.append(TlvNode(chance.choice((0x02, 0x05, 0x0C, 0x30)), None))
        return write_tlv(nodes)

    # CBOR

    def _change_some(self, items: list[Node], corpus: Corpus) -> None:
        chance = self._chance
        holder, place = _pick(items, chance)
        node = holder[place]
        ways: list[Callable[[], None]] = [
            lambda: self._new_value(node),
            lambda: self._new_value(node),
            lambda: holder.__setitem__(place, self._anything()),
            lambda: self._odd_head(node),
            lambda: self._wrap(holder, place),
            lambda: holder.insert(place, node.copy()),
            lambda: holder.__delitem__(place),
            lambda: self._swap(holder, place),
            lambda: self._splice(holder, place, corpus),
        ]
        if node.major == MAP:
            ways += [lambda: self._change_map(node)] * 4
        if node.major == ARRAY:
            ways += [lambda: self._change_array(node)] * 2
        chance.choice(ways)()

    def _new_value(self, node: Node) -> None:
        chance = self._chance
        if node.major in (0, 1, TAG):
            near = node.value + chance.choice((-1, 1, 8, -8))
            node.value = chance.choice((*chance.choices(INTEGERS, k=2), max(near, 0))) & (1 << 64) - 1
            if chance.random() < 0.1 and node.major < TAG:
                node.major = 1 - node.major
        elif node.major == OTHER:
            node.value, node.info = chance.choice((20, 21, 22, 23, 24, 32, 255, 0)), None
        elif node.major in (2, 3):
            self._new_string(node)
        else:
            node.value, node.lies = chance.choice(INTEGERS), True

    def _new_string(self, node: Node) -> None:
        chance = self._chance
        way = chance.randrange(7)
        if node.inner is not None and way < 4:
            self._change_some(node.inner, ())
            return
        content = node.content
        node.inner = None
        if way in (4, 0):
            size = chance.choice((*LENGTHS, len(content) + 1, max(len(content) - 1, 0)))
            if chance.random() < RARELY:
                size = chance.choice(GREAT)
            content = (content * (size // max(len(content), 1) + 1) + bytes(size))[:size]
        elif way == 5:
            node.value, node.lies = chance.choice((*INTEGERS, len(content) + 1)), True
        elif way == 6:
            node.major = 5 - node.major
        else:
            content = mutate_bytes(content, b"", chance) if node.major == 2 else mutate_text(content, b"", chance)
        node.content = content

    def _anything(self) -> Node:
        chance = self._chance
        match chance.randrange(10):
            case 0 | 1:
                return Node(chance.randrange(2), chance.choice(INTEGERS))
            case 2:
                return Node(2, content=chance.randbytes(chance.choice(LENGTHS)))
            case 3:
                return Node(3, content=chance.choice((b"", b"a", b"\xff", "ü".encode(), b"\xed\xa0\x80", b"x" * 300)))
            case 4:
                return Node(OTHER, chance.choice((20, 21, 22, 23)))
            case 5:
                return Node(OTHER, chance.randrange(1 << 16), info=chance.choice((25, 26, 27)))
            case 6:
                return Node(ARRAY, children=[Node(0, n) for n in range(chance.randrange(4))])
            case 7:
                return Node(MAP, children=[Node(0, 0), Node(0, 0)] * chance.randrange(1, 3))
            case 8:
                return Node(TAG, chance.choice((0, 1, 2, 4, 16, 17, 18, 24, 28, 29, 35, 55_799)), children=[Node(0, 1)])
            case _:
                return Node(OTHER, 0, info=INDEFINITE)

    def _odd_head(self, node: Node) -> None:
        node.info = self._chance.choice((24, 25, 26, 27, 28, 30, INDEFINITE))

    def _wrap(self, holder: list[Node], place: int) -> None:
        chance = self._chance
        node, major = holder[place], chance.choice((ARRAY, ARRAY, MAP, TAG))
        levels = chance.choice(LEVELS)
        inside = [node]
        if levels > 60:  # as bytes, or writing would be as deep
            piece = {ARRAY: b"\x81", MAP: b"\xa1\x00", TAG: b"\xc1"}[major] * levels
            holder[place] = Node(RAW, content=piece + node.write())
            return
        for _ in range(levels):
            key = [Node(0, 0)] if major == MAP else []
            inside = [Node(major, 1, children=[*key, *inside])]
        holder[place] = inside[0]

    def _swap(self, holder: list[Node], place: int) -> None:
        other = self._chance.randrange(len(holder))
        holder[place], holder[other] = holder[other], holder[place]

    def _splice(self, holder: list[Node], place: int, corpus: Corpus) -> None:
        donor = read_all(self._other(corpus))
        if donor:
            source, at = _pick(donor, self._chance)
            holder[place] = source[at].copy()

    def _change_map(self, node: Node) -> None:
        chance = self._chance
        pairs = [node.children[at : at + 2] for at in range(0, len(node.children) - 1, 2)]
        match chance.randrange(6):
            case 0 if pairs:
                pairs.pop(chance.randrange(len(pairs)))
            case 1 if pairs:
                at = chance.randrange(len(pairs))
                pairs.insert(at, [each.copy() for each in pairs[at]])
            case 2 if pairs:
                key = chance.choice(pairs)[0]
                key.value = chance.choice((*INTEGERS[:6], key.value + 1))
                key.major = chance.choice((0, 0, 1, 3, OTHER))
            case 3 if len(pairs) > 1:
                chance.shuffle(pairs)
            case 4:
                last = max((pair[0].value for pair in pairs if pair[0].major == 0), default=-1)
                pairs.append([Node(0, last + 1), self._anything()])
            case _:
                pairs.insert(0, [self._anything(), self._anything()])
        node.children = [each for pair in pairs for each in pair]

    def _change_array(self, node: Node) -> None:
        chance = self._chance
        match chance.randrange(4):
            case 0:
                node.children = []
            case 1 if node.children:
                node.children *= chance.choice((2, 3, 20))
                node.children = node.children[:600]
            case 2:
                node.children.insert(0, self._anything())
            case _:
                node.children.append(self._anything())


def cut(data: bytes) -> list[bytes]:
    """The frames that `data` is made of; a last one that is cut short counts as far as it goes."""
    frames, at = [], 0
    while at + 2 <= len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        frames.append(data[at + 2 : end])
        at = end
    return frames


def joined(frames: Sequence[bytes]) -> bytes:
    """Frames as they cross a stream."""
    return b"".join(len(frame).to_bytes(2, "big") + frame for frame in frames)


def _pick(items: list[Node], chance: Random) -> tuple[list[Node], int]:
    """One of all nodes at any depth: the list that holds it, and its place there."""
    places = [(holder, place) for holder in _holders(items) for place in range(len(holder))]
    return chance.choice(places)


def _holders(items: list[Node]) -> list[list[Node]]:
    found = [items]
    for item in items:
        for node in item.walk():
            found += [each for each in (node.children, node.inner) if each]
    return found


def _pick_tlv(nodes: list[TlvNode], chance: Random) -> tuple[list[TlvNode], int]:
    places: list[tuple[list[TlvNode], int]] = []
    todo = [nodes]
    while todo:
        holder = todo.pop()
        places += [(holder, place) for place in range(len(holder))]
        todo += [node.children for node in holder if node.children]
    return chance.choice(places)
