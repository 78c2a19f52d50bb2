"""Damage to the content of a file, drawn from a random generator."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

_MOST = 6
_HEAD = 200
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_WORDS: Sequence[bytes] = (
    *b', ; \t " \n \r\n \0 / .. ./ # : \\ [ ] { } 1.5 -1 0 00 1e999 inf nan 1_0 0x10 null true'.split(b" "),
    *b"#t=0,1 #frames=0-5 train val test label path start end".split(b" "),
    *b"\\u0000 \xff\xfe \xef\xbb\xbf \xc3\x28 \xe2\x80\xa8 \x1c \xd9\xa3".split(b" "),
    *(b" ", b"[" * 3000, b"9" * 5000, b"x" * 300, b'"' * 3),
)

Damage = Callable[[Random, bytearray], None]


def damaged(random: Random, content: bytes, *, text: bool) -> bytes:
    """The content with up to six things done to it; half of them within its first bytes.

    Args:
        random: decides all.
        content: of a file that is right.
        text: whether words and lines are of use too.
    """
    data = bytearray(content)
    kinds = (*_OF_BYTES, *(_OF_TEXT * 3 if text else ()))
    for _ in range(random.randint(1, _MOST)):
        random.choice(kinds)(random, data)
    return bytes(data)


def _place(random: Random, data: bytearray) -> int:
    most = len(data) if random.random() < 0.5 else min(len(data), _HEAD)
    return random.randrange(most + 1)


def _length(random: Random) -> int:
    return int(2 ** random.uniform(0, 9))


def _flip(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    if place < len(data):
        data[place] ^= 1 << random.randrange(8)


def _number(random: Random, data: bytearray) -> None:
    """A number at the edge of its type, in either byte order."""
    place, value = _place(random, data), random.choice(_NUMBERS)
    code, mask = random.choice((("B", 0xFF), ("H", 0xFFFF), ("I", 0xFFFFFFFF)))
    written = struct.pack(random.choice("<>") + code, value & mask)
    data[place : place + len(written)] = written


def _cut(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    del data[place : place + _length(random)]


def _truncate(random: Random, data: bytearray) -> None:
    del data[_place(random, data) :]


def _repeat(random: Random, data: bytearray) -> None:
    place, length = _place(random, data), _length(random)
    data[place:place] = data[place : place + length]


def _zero(random: Random, data: bytearray) -> None:
    place = _place(random, data)
    length = min(_length(random), len(data) - place)
    data[place : place + length] = bytes(length)


def _noise(random: Random, data: bytearray) -> None:
    place, length = _place(random, data), _length(random)
    data[place : place + random.choice((0, length))] = random.randbytes(length)


def _word(random: Random, data: bytearray) -> None:
    place = random.randrange(len(data) + 1)
    data[place : place + random.choice((0, 0, 1, 4))] = random.choice(_WORDS)


def _lines(random: Random, data: bytearray) -> None:
    """Lines in another order, one of them gone or there twice."""
    lines = bytes(data).splitlines(keepends=True)
    if lines:
        chosen = random.choice(lines)
        lines.remove(chosen)
        lines += [chosen] * random.randrange(3)
        random.shuffle(lines)
    data[:] = b"".join(lines)


def _field(random: Random, data: bytearray) -> None:
    """Another word in the place of what stands between two separators."""
    ends = [place for place, byte in enumerate(data) if byte in b',;\t\n"[]{}: ']
    if len(ends) > 1:
        number = random.randrange(len(ends) - 1)
        data[ends[number] + 1 : ends[number + 1]] = random.choice(_WORDS)


_OF_BYTES: tuple[Damage, ...] = (_flip, _flip, _number, _number, _cut, _truncate, _repeat, _zero, _noise)
_OF_TEXT: tuple[Damage, ...] = (_word, _lines, _field)
