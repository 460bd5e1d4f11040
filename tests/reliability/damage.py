"""Damages of stored files, as disks, copies and editors make them."""

from __future__ import annotations

import random
import re
from pathlib import Path


def damage(path: Path, seed: int) -> str:
    """Flip a bit, change a digit, cut, blank, double, shuffle, or remove a file: returns the kind."""
    content, rng = path.read_bytes(), random.Random(seed)
    at = rng.randrange(len(content))
    more = at + rng.randrange(1, 65)
    lines = content.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    kinds = {
        "flip": content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :],
        "digit": content[:at] + re.sub(rb"\d", lambda m: b"%d" % ((int(m.group()) + 1) % 10), content[at:], count=1),
        "cut": content[:at],
        "zeros": content[:at] + bytes(len(content) - at),
        "hole": content[:at] + bytes(len(content[at:more])) + content[more:],
        "lines": b"\n".join(lines),
        "twice": content + content,
        "swap": content[at:] + content[:at],
    }
    kind = rng.choice([*kinds, "gone"])
    path.unlink()
    if kind != "gone":
        path.write_bytes(kinds[kind])
    return kind
