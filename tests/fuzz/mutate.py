"""Mutations of text and bytes, of the kinds that damage, editors, scripts and bad will make."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

JUNK = (
    *("nan", ".inf", "inf", "-", "1e999", "T", "=", '"', "'", "{", "]", "\\", "\x00", "\t", "9" * 5000, "0", "-1", ":"),
    *(
        "é",
        "D",
        "1.5e3",
        "true",
        "null",
        "~",
        "2026-11-30",
        "010",
        "1:30",
        "../../x",
        "\x1b[31m",
        "\u202e",
        "-0.5",
        "1e-400",
    ),
    *("&a [*a]", "!!int x", "<<", "99999999999", "1_000", "0x10", "[[[[", "{a: {b: {c: 1}}}", "[1, 1]", "|", "%", "#"),
)


def text(content: str, chance: random.Random, junk: tuple[str, ...] = JUNK) -> str:
    """One to four changes: words replaced, removed or doubled, lines removed, doubled or swapped, signs replaced."""
    for _ in range(chance.randint(1, 4)):
        lines = content.split("\n")
        k = chance.randrange(len(lines))
        words = lines[k].split(" ")
        w = chance.randrange(len(words))
        match chance.randrange(8):
            case 0:
                words[w] = chance.choice(junk)
            case 1:
                del words[w]
            case 2:
                words.insert(w, words[chance.randrange(len(words))])
            case 3:
                place = chance.randrange(len(lines[k]) + 1)
                words = [lines[k][:place] + chance.choice(junk) + lines[k][place + chance.randint(0, 2) :]]
            case 4:
                del lines[k]
                words = None
            case 5:
                lines.insert(k, lines[chance.randrange(len(lines))])
                words = None
            case 6:
                other = chance.randrange(len(lines))
                lines[k], lines[other] = lines[other], lines[k]
                words = None
            case _:
                digits = [i for i, sign in enumerate(lines[k]) if sign.isdigit()]
                if digits:
                    place = chance.choice(digits)
                    words = [lines[k][:place] + str(chance.randrange(10)) + lines[k][place + 1 :]]
        if words is not None:
            lines[k] = " ".join(words)
        content = "\n".join(lines)
    return content


VALUES: tuple[Any, ...] = (
    *(
        -1,
        0,
        1,
        2,
        7,
        2**40,
        10**30,
        0.5,
        -0.5,
        1e300,
        math.nan,
        math.inf,
        True,
        None,
        "",
        "a",
        "all",
        "none",
        "x" * 300,
    ),
    *([], {}, [1], [1, 1], [0.5, "a"], {"a": 1}, {1: 2}, "2026-11-30", "equivariant", "../x", [[[]]], "low=EF,high=EF"),
)


def values(content: Any, chance: random.Random) -> Any:
    """One to three values of nested settings replaced, removed, or doubled."""
    content = copy.deepcopy(content)
    for _ in range(chance.randint(1, 3)):
        place = content
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = chance.choice(keys)
            if isinstance(place[key], dict | list) and chance.random() < 0.85:
                place = place[key]
                continue
            kind = chance.random()
            if kind < 0.1:
                del place[key]
            elif kind < 0.2 and isinstance(place, list):
                place.append(copy.deepcopy(place[key]))
            elif kind < 0.5 and isinstance(place[key], int | float):
                place[key] = place[key] * chance.choice([1, 2, 3]) + chance.choice([0, 1])
            else:
                place[key] = copy.deepcopy(chance.choice(VALUES))
            break
    return content


def data(content: bytes, chance: random.Random) -> bytes:
    """One change: a bit, a cut, a part twice, zeros, or bytes of no text."""
    at = chance.randrange(len(content) or 1)
    if not content:
        return b"\x00"
    match chance.randrange(5):
        case 0:
            return content[:at] + bytes([content[at] ^ (1 << chance.randrange(8))]) + content[at + 1 :]
        case 1:
            return content[:at]
        case 2:
            return content[:at] + content[at // 2 :]
        case 3:
            return content[:at] + bytes(len(content) - at)
        case _:
            return content[:at] + chance.randbytes(3) + content[at:]
