"""The text of extended XYZ files: cut into frames, each parsed by ase, every fault known by its frame.

What ase takes silently is refused here: a key given twice, a line with more columns than `Properties` names, a number
of columns beyond reason. Read beside plain files: gzip, a byte-order mark, exponents written with D (Fortran), and the
hydrogen isotopes D and T.
"""

from __future__ import annotations

import bz2
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.io.extxyz import key_val_str_to_dict, read_xyz
from numpy.typing import NDArray

from mfbench.mfcore.errors import DataError

#: Digits of a number of atoms, columns of an atom's line, bytes of a file unpacked: more is a damaged file.
_MOST_DIGITS, _MOST_COLUMNS, _MOST_BYTES = 8, 300, 1 << 32
_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open}
_ISOTOPES = {"D": 2.01410177812, "T": 3.0160492820}
_CLOSING = {"'": "'", '"': '"', "{": "}", "[": "]"}
_FORTRAN = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]?\d+)$")


class _Malformed(Exception):
    """A fault in the text of a frame: the problem, and what to do."""

    def __init__(self, problem: str, key: str | None = None, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem, self.key, self.hint = problem, key, hint


def read_text(path: Path) -> str:
    """Return the text of a file, plain or packed by gzip or bzip2, without a byte-order mark.

    Raises
    ------
    DataError
        If the file is missing, unreadable, damaged, not UTF-8, or unpacks to more than 4 GiB.
    """
    try:
        content = path.read_bytes()
        unpacking = next((kind for mark, kind in _PACKED.items() if content.startswith(mark)), None)
        if unpacking is not None:
            with unpacking(io.BytesIO(content)) as stream:
                content = stream.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                raise DataError(f"the file unpacks to more than {_MOST_BYTES >> 30} GiB.", file=path, hint="Split it.")
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError("there is no such file.", file=path) from None
    except UnicodeDecodeError:
        raise DataError("the file is not text; expected extended XYZ or JSON.", file=path) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"the packed file is damaged ({error}).", file=path, hint="Copy it again.") from None
    except OSError as error:
        if error.errno is None:  # of bz2
            raise DataError(f"the packed file is damaged ({error}).", file=path, hint="Copy it again.") from None
        raise DataError(f"the file cannot be read ({error.strerror}).", file=path) from None


def frame_texts(path: Path) -> Iterator[str]:
    """Cut a file into the texts of its frames, so that any fault is known by its frame.

    Raises
    ------
    DataError
        If the file cannot be read or a frame is not "number of atoms, header, that many lines".
    """
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    start, index = 0, 0
    while start < len(lines):
        if not lines[start].strip():
            if any(line.strip() for line in lines[start:]):
                raise DataError("an empty line; expected the number of atoms.", file=path, frame=index)
            return
        count = lines[start].strip()
        if not (count.isascii() and count.isdigit()) or len(count) > _MOST_DIGITS:
            raise DataError(
                f"line {start + 1} is '{count[:40]}{'...' if len(count) > 40 else ''}'; expected the number of atoms "
                "of an extended XYZ frame.",
                file=path,
                frame=index,
            )
        stop = start + 2 + int(count)
        if stop > len(lines):
            raise DataError(f"the file ends before the {count} atoms of this frame.", file=path, frame=index)
        yield "\n".join(lines[start:stop]) + "\n"
        start, index = stop, index + 1


def parse_frame(block: str, path: Path, index: int) -> Atoms:
    """Make Atoms of the text of one frame; every key is left in info and arrays, none goes into a calculator.

    Raises
    ------
    DataError
        If a key is given twice, or ase cannot read the frame.
    """
    try:
        return _parsed(block)
    except _Malformed as fault:
        raise DataError(fault.problem, file=path, frame=index, key=fault.key, hint=fault.hint) from None
    except Exception as error:  # ase raises whatever its steps do: all of it means "malformed"
        reason = str(error).strip().splitlines()
        raise DataError(
            f"malformed extended XYZ ({reason[0][:160] if reason else type(error).__name__}).",
            file=path,
            frame=index,
            hint="Expected 'Properties=species:S:1:pos:R:3:...' and key=value pairs on the second line.",
        ) from None


def _parsed(block: str) -> Atoms:
    lines = block.split("\n")
    n_atoms = int(lines[0])
    header, table = lines[1], [line.split() for line in lines[2 : 2 + n_atoms]]
    info = dict(_pairs(header))
    kinds = _columns(info.get("Properties", "species:S:1:pos:R:3"))
    for number, row in enumerate(table):
        if len(row) != len(kinds):
            problem = f"the line of atom {number} has {len(row)} columns, Properties names {len(kinds)}."
            raise _Malformed(problem, "Properties", "One of the two is wrong.")
    isotopes = _normalized(table, kinds)
    described: dict[str, Any] = {key: _value(key, info.pop(key)) for key in ("Properties", "pbc") if key in info}
    if "Lattice" in info:
        described["Lattice"] = _lattice(info.pop("Lattice"))
    text = "\n".join([lines[0], "-", *(" ".join(row) for row in table)]) + "\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ase warns of odd columns; what matters is validated by the reader
        atoms = next(iter(read_xyz(io.StringIO(text), index=slice(0, 1), properties_parser=lambda _: dict(described))))
    assert isinstance(atoms, Atoms)
    calculated = {} if atoms.calc is None else dict(atoms.calc.results)
    atoms.calc = None
    for key, value in calculated.items():
        atoms.arrays.setdefault(key, np.asarray(value))
    atoms.info.update({key: _value(key, value) for key, value in info.items()})
    if isotopes:
        atoms.set_masses([isotopes.get(number, mass) for number, mass in enumerate(atoms.get_masses())])
    return atoms


def _pairs(header: str) -> list[tuple[str, str]]:
    """Cut a header into keys and values as ase does; a word without '=' has the value T."""
    parts: list[list[list[str]]] = [[[]]]
    closing, escaped = "", False
    for char in header.strip():
        if escaped:
            parts[-1][-1].append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif closing:
            if char == closing:
                closing = ""
            else:
                parts[-1][-1].append(char)
        elif char in _CLOSING:
            closing = _CLOSING[char]
        elif char.isspace():
            if parts[-1] == [[]] or parts[-1][-1] == []:
                continue
            parts.append([[]])
        elif char == "=":
            if parts[-1] == [[]] and len(parts) > 1:
                parts.pop()
            parts[-1].append([])
        else:
            parts[-1][-1].append(char)
    found = ["".join(words[0]) for words in parts if words]
    values = ["T" if len(words) == 1 else "=".join("".join(w) for w in words[1:]) for words in parts if words]
    pairs = [(key, value) for key, value in zip(found, values, strict=True) if key]
    seen: dict[str, str] = {}
    for key, value in pairs:
        if key in seen:
            raise _Malformed(
                f"the key is given twice, as '{seen[key][:40]}' and as '{value[:40]}'.", key, "Keep one of them."
            )
        seen[key] = value
    return pairs


def _value(key: str, text: str) -> Any:
    """Convert a value as ase does: numbers and arrays of them, T and F, JSON, or the text; no key is special."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return text if key == "Properties" else key_val_str_to_dict(f'x="{escaped}"').get("x", text)


def _lattice(text: str) -> NDArray[np.float64]:
    """Convert nine numbers to the matrix that ase expects of its parser, lattice vectors in columns."""
    try:
        numbers = [float(fortran_number(part)) for part in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 9:
        raise _Malformed(f"found '{text[:60]}'; expected nine numbers, three vectors in Å.", "Lattice")
    return np.array(numbers).reshape(3, 3).T


def fortran_number(text: str) -> str:
    """Return a number with an exponent written as D (Fortran) with an E; any other text as it is."""
    return _FORTRAN.sub(r"\1e\2", text)


def _columns(properties: str) -> list[tuple[str, str]]:
    """Return the name and type of each column that `Properties` describes."""
    fields = properties.split(":")
    names, kinds, widths = fields[::3], fields[1::3], fields[2::3]
    if len(fields) % 3 or any(not w.isdigit() or len(w) > 20 or int(w) < 1 for w in widths):
        raise _Malformed(f"found '{properties[:80]}'; expected NAME:TYPE:COLUMNS, repeated.", "Properties")
    if odd := [k for k in kinds if k not in ("R", "I", "S", "L")]:
        raise _Malformed(f"type '{odd[0][:20]}'; expected R, I, S or L.", "Properties")
    if sum(map(int, widths)) > _MOST_COLUMNS:
        problem = f"{sum(map(int, widths))} columns; at most {_MOST_COLUMNS} are expected."
        raise _Malformed(problem, "Properties", "Check the numbers behind R and I.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise _Malformed(f"the columns '{twice[0][:40]}' are named twice.", "Properties", "Keep one of them.")
    if not {"pos", "positions"} & set(names) or not {"species", "Z", "numbers"} & set(names):
        raise _Malformed(f"found '{properties[:80]}'; expected species and pos among them.", "Properties")
    return [(n, k) for n, k, w in zip(names, kinds, widths, strict=True) for _ in range(int(w))]


def _normalized(table: list[list[str]], kinds: list[tuple[str, str]]) -> dict[int, float]:
    """Write Fortran exponents with E and isotopes of hydrogen as H, in place; return the isotopes' masses by atom."""
    isotopes = {}
    for column, (name, kind) in enumerate(kinds):
        if name == "species":
            for number, row in enumerate(table):
                if row[column] in _ISOTOPES:
                    isotopes[number] = _ISOTOPES[row[column]]
                    row[column] = "H"
                elif row[column].capitalize() not in atomic_numbers:
                    raise _Malformed(f"atom {number} has '{row[column][:20]}'; expected an element.", "species")
        elif kind == "R":
            for row in table:
                if "D" in row[column] or "d" in row[column]:
                    row[column] = fortran_number(row[column])
    return isotopes
