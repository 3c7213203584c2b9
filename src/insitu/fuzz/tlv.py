"""DER as an attacker writes it: a tree of tags, lengths and contents whose lengths may be wrong or too long.

Knows nothing of certificates; reads what is well formed and writes whatever it is told to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEEPEST: Final = 40


@dataclass
class TlvNode:
    """One value.

    Attributes:
        tag: the first byte; tags of several bytes are not taken apart.
        like: whose content to take over.
        children: of a constructed value, or within a string that holds values; None: `content` is all.
        content: of a value without children.
        form: bytes of length beyond the first that are written; 0: as DER wants it, -1: an indefinite length.
        more: by how much the length that is written is too great.

    """

    tag: int
    like: TlvNode | None = None
    children: list[TlvNode] | None = None
    content: bytes = b""
    form: int = 0
    more: int = 0
    skip: bytes = b""
    """What stands before the children: the count of unused bits of a bit string."""

    def __post_init__(self) -> None:
        if self.like is not None:
            self.children, self.content, self.skip = self.like.children, self.like.content, self.like.skip
            self.like = None

    def write(self) -> bytes:
        """The bytes of this value."""
        content = self.content if self.children is None else self.skip + write_tlv(self.children)
        size = max(len(content) + self.more, 0)
        if self.form < 0:
            return bytes((self.tag, 0x80)) + content + b"\0\0"
        width = self.form or (0 if size < 0x80 else (size.bit_length() + 7) // 8)
        if not width:
            return bytes((self.tag, size)) + content
        return bytes((self.tag, 0x80 | width)) + (size & (1 << 8 * width) - 1).to_bytes(width, "big") + content


def write_tlv(nodes: list[TlvNode]) -> bytes:
    """Values one after the other."""
    return b"".join(each.write() for each in nodes)


def read_tlv(data: bytes, depth: int = 0) -> list[TlvNode] | None:
    """The values that `data` holds one after the other; None where it is something else."""
    nodes, at = [], 0
    while at < len(data):
        if depth > DEEPEST or at + 2 > len(data) or data[at] & 0x1F == 0x1F:
            return None
        tag, size = data[at], data[at + 1]
        at += 2
        if size > 0x84 or size == 0x80:
            return None
        if size > 0x80:
            size, at = int.from_bytes(data[at : at + size - 0x80], "big"), at + size - 0x80
        if at + size > len(data):
            return None
        nodes.append(_node(tag, data[at : at + size], depth))
        at += size
    return nodes


def _node(tag: int, content: bytes, depth: int) -> TlvNode:
    skip = 1 if tag == 0x03 and content[:1] == b"\0" else 0
    may_hold = tag & 0x20 or tag == 0x04 or skip
    children = read_tlv(content[skip:], depth + 1) if may_hold and len(content) > 1 + skip else None
    return TlvNode(tag, None, children or None, content, skip=content[:skip])
