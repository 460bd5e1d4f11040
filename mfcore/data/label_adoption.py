"""Which labels of a file are read: one source of labels per fidelity, said, and nothing like a label dropped unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from mfbench.mfcore.data.frames import UNNAMED_FIDELITY, key_of
from mfbench.mfcore.data.label_keys import (
    FALLBACK_ENERGIES,
    LabelKeys,
    is_other_energy,
    key_of_label,
    keys_in,
    like_a_label,
    numbers,
)
from mfbench.mfcore.data.label_sources import Source, best_first, one_set, survey
from mfbench.mfcore.errors import DataError
from mfbench.mfcore.fidelity import Label

_AGREE = 1e-3  # relative difference of a virial and a stress of one source beyond which they are two things


@dataclass
class Adoption:
    """How the labels of a file came under the keys of :mod:`mfbench.mfcore.data.frames`.

    Attributes
    ----------
    notes
        Sentences, without a full stop: which keys were read, which were not, and how to choose otherwise.
    spelled
        By frame, the key that a label has in the file, of labels that have another key now.
    """

    notes: list[str] = field(default_factory=list)
    spelled: dict[int, dict[str, str]] = field(default_factory=dict)

    def rename(self, frame: int, found: str, key: str) -> None:
        """Remember that the label under `key` of a frame was under `found`."""
        if found != key:
            own = self.spelled.setdefault(frame, {})
            own[key] = own.pop(found, found)

    def key_in_file(self, frame: int, key: str) -> str:
        """Return the key of a label in the file."""
        return self.spelled.get(frame, {}).get(key, key)


def adopt_labels(
    frames: Sequence[Atoms], path: Path, fidelity: str | None = None, keys: LabelKeys | None = None
) -> Adoption:
    """Bring the labels of a file under the keys of :mod:`mfbench.mfcore.data.frames`, in place.

    Parameters
    ----------
    frames
        As they come from the file.
    fidelity
        Name of the level that is wanted; None keeps all, plain keys as those of the fidelity "reference".
    keys
        Keys that the user named.

    Raises
    ------
    DataError
        If the wanted labels are not there, or two sets of labels compete for one name.
    """
    adoption = Adoption()
    sources = survey(frames)
    if keys:
        name = fidelity or UNNAMED_FIDELITY
        _adopt_named(frames, path, name, keys, sources, adoption)
        _drop(frames, {s for s in sources if s != name})
    else:
        _fall_back(frames, sources, adoption)
        _drop(frames, _set_aside(sources, adoption.notes))
        _settle_plain(frames, sources, fidelity, path, adoption)
    _name_what_is_left(frames, adoption.notes)
    return adoption


def _fall_back(frames: Sequence[Atoms], sources: dict[str, Source], adoption: Adoption) -> None:
    """Read `free_energy` and the like as the plain energy of a file that has no other."""
    if any(s.count[Label.ENERGY] for s in sources.values() if not is_other_energy(s.name)):
        _compare_free_energy(frames, sources, adoption.notes)
        return
    for name in FALLBACK_ENERGIES:
        source = sources.get(name.removesuffix("_energy"))
        if source is None or not source.count[Label.ENERGY]:
            continue
        (key, *_) = source.keys[Label.ENERGY]
        for index, atoms in enumerate(frames):
            if key in atoms.info:
                atoms.info["energy"] = atoms.info.pop(key)
                adoption.rename(index, key, "energy")
        plain = sources.setdefault("", Source(""))
        plain.keys[Label.ENERGY], plain.count[Label.ENERGY] = ["energy"], source.count[Label.ENERGY]
        del sources[source.name]
        adoption.notes.append(f"'{key}' is read as the energy: the file has no key 'energy'")
        return


def _compare_free_energy(frames: Sequence[Atoms], sources: dict[str, Source], notes: list[str]) -> None:
    """Say how far `free_energy`, which forces are the derivative of, is from `energy`."""
    if "free" not in sources or "" not in sources:
        return
    gaps = []
    for atoms in frames:
        try:
            gaps.append(float(numbers(atoms.info["free_energy"]) - numbers(atoms.info["energy"])) / len(atoms))
        except (KeyError, TypeError, ValueError):
            continue
    worst = max(map(abs, gaps), default=0.0)
    if np.isfinite(worst) and worst > 1e-4:
        notes.append(
            f"'free_energy' differs from 'energy' by up to {1000 * worst:.3g} meV/atom, and forces of a calculation "
            "with smearing are the derivative of the former: --energy-key free_energy reads it"
        )


def _set_aside(sources: dict[str, Source], notes: list[str]) -> set[str]:
    """Take energies that are another quantity by their name out of the sources, and say so."""
    aside = {
        name
        for name, s in sources.items()
        if is_other_energy(name) and not (s.count[Label.FORCES] and len(sources) == 1)
    }
    for name in aside:
        source = sources.pop(name)
        for spellings in source.keys.values():
            for key in spellings:
                notes.append(f"'{key}' is not read as a label (--energy-key {key} reads it as the energy)")
    return aside


def _drop(frames: Sequence[Atoms], names: set[str]) -> None:
    """Take the keys of some sources off the frames."""
    for atoms in frames:
        for store, per_atom in ((atoms.info, False), (atoms.arrays, True)):
            for key in [k for k in store if (found := key_of_label(k, per_atom)) and found.source in names]:
                del store[key]


def _settle_plain(
    frames: Sequence[Atoms], sources: dict[str, Source], fidelity: str | None, path: Path, adoption: Adoption
) -> None:
    """Give plain keys the name of the fidelity that they are labels of, every source its canonical keys."""
    notes = adoption.notes
    _drop(frames, _copies(frames, sources, fidelity, notes))
    labelled = [s for s in sources.values() if any(s.count.values())]
    labelled = labelled or list(sources.values())  # NaN throughout: the reader says so
    plain, named = [s for s in labelled if s.plain], [s for s in labelled if not s.plain]
    names = {s.name: s.name for s in named}
    if fidelity is not None and fidelity not in names:
        if fidelity in ("REF", UNNAMED_FIDELITY) and len(plain) > 1:
            plain.sort(key=lambda s: (s.name == "") is (fidelity == "REF"))
            names[plain[0].name] = fidelity
        elif not plain or (fidelity != UNNAMED_FIDELITY and any(s.complete for s in named)):
            raise _absent(frames, path, fidelity, plain, named)
        else:
            names[_one_of(plain, path, fidelity).name] = fidelity
        notes.append(f"labels of '{fidelity}': {next(s for s in plain if s.name in names)}")
        for other in plain:
            if other.name not in names:
                notes.append(f"not read: {other}")
                _drop(frames, {other.name})
    elif fidelity is None:
        both, unnamed = len(plain) > 1, "plain" if UNNAMED_FIDELITY in names else UNNAMED_FIDELITY
        names |= {s.name: "REF" if both and s.name else unnamed for s in plain}
    else:
        names |= {s.name: UNNAMED_FIDELITY for s in plain if len(plain) == 1 and UNNAMED_FIDELITY not in names}
    for source in [*plain, *named]:
        if source.name in names:
            _canonical(frames, source, names[source.name], adoption)


def _one_of(plain: Sequence[Source], path: Path, fidelity: str) -> Source:
    """Of `energy, forces` and `REF_energy, REF_forces`, the one that has energies with forces, else the only one."""
    complete = [s for s in plain if s.complete] or [s for s in plain if s.count[Label.ENERGY]] or list(plain)
    if len(complete) > 1:
        raise DataError(
            f"two sets of labels compete for '{fidelity}': {'; '.join(map(str, complete))}.",
            file=path,
            hint="Name one: --low-name or --high-name REF or reference (the plain keys), or --energy-key and so on.",
        )
    return complete[0]


def _absent(
    frames: Sequence[Atoms], path: Path, fidelity: str, plain: Sequence[Source], named: Sequence[Source]
) -> DataError:
    key = key_of(fidelity, Label.ENERGY)
    if named or plain:
        listed = [f"{s.name}: {s}" for s in named] + [f"{UNNAMED_FIDELITY}: {s}" for s in plain]
        return DataError(
            f"no such label in the file; it has the fidelities {'; '.join(listed)}.",
            file=path,
            key=key,
            hint="Name one of them, or rename the keys.",
        )
    keys = keys_in(frames)
    likely = [k for k in keys if like_a_label(k)]
    how = f" --energy-key {likely[0]} reads that one." if likely else ""
    return DataError(
        f"no label found; the file has the keys {', '.join(keys) if keys else 'of plain XYZ only'}.",
        file=path,
        key=key,
        hint=f"Expected {key}, REF_energy or energy (eV), and so on.{how}",
    )


def _copies(frames: Sequence[Atoms], sources: dict[str, Source], fidelity: str | None, notes: list[str]) -> set[str]:
    """Take out plain and named sources that hold the same numbers as another, and say so."""
    gone: set[str] = set()
    ordered = sorted(sources.values(), key=lambda s: (s.name != fidelity, -sum(s.count.values()), not s.plain))
    for position, kept in enumerate(ordered):
        for other in ordered[position + 1 :]:
            if kept.name in gone or other.name in gone or not (kept.plain or other.plain):
                continue
            if one_set(frames, kept, other):
                gone.add(other.name)
                notes.append(f"{other} are the same numbers as {kept}: the latter are read")
    for name in gone:
        del sources[name]
    return gone


def _canonical(frames: Sequence[Atoms], source: Source, name: str, adoption: Adoption) -> None:
    """Put the labels of a source under the keys of a fidelity; virials become stresses."""
    odd: set[str] = set()
    for index, atoms in enumerate(frames):
        for label in source.keys:
            store: dict[str, Any] = atoms.arrays if label is Label.FORCES else atoms.info
            present = [k for k in best_first(source.keys[label]) if k in store]
            if present == [key_of(name, label)]:
                continue
            values = {key: store.pop(key) for key in present}
            for position, key in enumerate(present):
                value = values[key]
                if "virial" in key.lower():
                    value = _stress_of_virial(atoms, value)
                if position == 0:
                    store[key_of(name, label)] = value
                    adoption.rename(index, key, key_of(name, label))
                    if key != key_of(name, label) and (key != key_of(source.name, label).lstrip("_")):
                        odd.add(f"'{key}' is read as {_described(label, key)}")
                elif _differ(store[key_of(name, label)], value):
                    odd.add(f"'{present[0]}' is read, '{key}' is not and is not equal to it")
    adoption.notes += sorted(odd)


def _described(label: Label, key: str) -> str:
    if "virial" in key.lower():
        return "virials in eV: stress = -virial / volume"
    return {Label.ENERGY: "the energy", Label.FORCES: "the forces", Label.STRESS: "the stress"}[label]


def _stress_of_virial(atoms: Atoms, value: Any) -> Any:
    """Virial (9,) or Voigt (6,) in eV to the stress, -virial / volume; a value that is no number stays as it is."""
    try:
        return -numbers(value) / atoms.get_volume()
    except (TypeError, ValueError, ZeroDivisionError):
        return value


def _differ(first: Any, second: Any) -> bool:
    try:
        one, two = numbers(first).ravel(), numbers(second).ravel()
    except (TypeError, ValueError):
        return False
    if one.size == 9 and two.size == 6:
        one = one[[0, 4, 8, 5, 2, 1]]
    elif one.size == 6 and two.size == 9:
        two = two[[0, 4, 8, 5, 2, 1]]
    if one.shape != two.shape:
        return True
    return bool(np.abs(one - two).max(initial=0.0) > _AGREE * max(np.abs(one).max(initial=0.0), 1e-6))


def _adopt_named(
    frames: Sequence[Atoms], path: Path, name: str, keys: LabelKeys, sources: dict[str, Source], adoption: Adoption
) -> None:
    """Read the keys that the user named; other labels come from the same prefix, else from plain keys."""
    given = dict(keys.items())
    for label, key in given.items():
        if not any(key in (a.arrays if label is Label.FORCES else a.info) for a in frames):
            raise DataError(
                f"no frame has this key; the file has {', '.join(keys_in(frames)) or 'none'}.",
                file=path,
                key=key,
                hint="Forces are a column of Properties; energy and stress are on the second line of a frame.",
            )
    anchor = next(iter(given.items()))
    found = key_of_label(anchor[1], anchor[0] is Label.FORCES)
    own = sources.get(found.source) if found else None
    rest = own if own is not None and own.count[Label.FORCES] else next((s for s in sources.values() if s.plain), None)
    chosen = Source("\0", {label: [key] for label, key in given.items()})
    for label in set(Label) - set(given):
        if rest is not None and rest.count[label] and (label is not Label.ENERGY or Label.ENERGY not in given):
            chosen.keys[label] = list(rest.keys[label])
    for index, atoms in enumerate(frames):
        for label, spellings in chosen.keys.items():
            store: dict[str, Any] = atoms.arrays if label is Label.FORCES else atoms.info
            for key in best_first(spellings):
                if key in store:
                    value = store.pop(key)
                    is_virial = "virial" in key.lower()
                    store[f"\0{label}"] = _stress_of_virial(atoms, value) if is_virial else value
                    adoption.rename(index, key, key_of(name, label))
                    break
    _drop(frames, set(sources))
    for atoms in frames:
        for label in Label:
            store = atoms.arrays if label is Label.FORCES else atoms.info
            if f"\0{label}" in store:
                store[key_of(name, label)] = store.pop(f"\0{label}")
    listed = ", ".join(k for spellings in chosen.keys.values() for k in spellings)
    adoption.notes.append(f"labels of '{name}': {listed}")


def _name_what_is_left(frames: Sequence[Atoms], notes: list[str]) -> None:
    """Name keys that sound like labels and are not read."""
    left: dict[str, int] = {}
    for atoms in frames:
        for key, store in [*((k, atoms.info) for k in atoms.info), *((k, atoms.arrays) for k in atoms.arrays)]:
            known = key_of_label(key, store is atoms.arrays)
            if known is None and like_a_label(key):
                left[str(key)] = left.get(str(key), 0) + 1
    for key, count in left.items():
        option = "--forces-key" if "forc" in key.lower() else "--stress-key" if "str" in key.lower() else "--energy-key"
        notes.append(f"'{key}' ({count} frames) sounds like a label and is not read ({option} {key} reads it)")
