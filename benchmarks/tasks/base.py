"""The interface of a task: labelled frames, and a fixed way to split them under a regime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ase import Atoms
from pydantic import field_validator

from mfbench.benchmarks.tasks.checks import asked, check_fidelities, check_frames, check_pools
from mfbench.mfcore.data.frames import has_label
from mfbench.mfcore.data.leakage import DUPLICATE_TOLERANCE, check_leakage
from mfbench.mfcore.data.splits import elements_first, groups_of, id_of, ids_hash, low_order, nested_order
from mfbench.mfcore.data.training_set import TrainingSet
from mfbench.mfcore.errors import ConfigError
from mfbench.mfcore.fidelity import Label, LabelSet, format_label_regime, parse_label_regime
from mfbench.mfcore.settings_model import SettingsModel

if TYPE_CHECKING:
    from mfbench.mfcore.dynamics.criteria import Unit

#: Seed of every split; what varies from one repetition to another is the draw.
SPLIT_SEED = 20261121

IN_COVERAGE = "in_coverage"
OUT_OF_COVERAGE = "out_of_coverage"

Count = int | Literal["all"]


class Regime(SettingsModel):
    """How much of what the strategies are given to learn from.

    Attributes
    ----------
    n_low, n_high
        Number of LF and HF training frames, or "all". Smaller HF sets are contained in larger ones.
    labels
        Labels by role (low: every fidelity but the last) or by fidelity name, as in "low=EF,high=E".
    pairing
        "disjoint": no HF training geometry is an LF training frame; "paired": every one is.
    coverage
        "full", or "gap": HF training frames are restricted as the task says; the test sets have both sides.
    e0
        Policy of the reference energies; "default" leaves it to the strategy.
    selection
        Rule by which weights are kept; "default" leaves it to the settings.
    """

    n_low: Count = "all"
    n_high: Count = "all"
    labels: str = "low=EF,high=E"
    pairing: Literal["paired", "disjoint"] = "disjoint"
    coverage: Literal["gap", "full"] = "gap"
    e0: str = "default"
    selection: str = "default"

    @field_validator("n_low", "n_high")
    @classmethod
    def _positive(cls, value: Count) -> Count:
        if value != "all" and value < 1:
            raise ValueError("expected a positive number of frames, or 'all'")
        return value

    @field_validator("labels")
    @classmethod
    def _canonical(cls, value: str) -> str:
        try:
            sets = parse_label_regime(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return format_label_regime({k: sets[k] for k in sorted(sets, key=lambda k: (k == "high", k))})

    def label_sets(self, fidelities: Sequence[str]) -> dict[str, LabelSet]:
        """Return the labels of each fidelity; a fidelity's own name wins over its role.

        Raises
        ------
        ConfigError
            If `labels` leaves a fidelity out or names one that does not exist.
        """
        given = parse_label_regime(self.labels)
        unknown = set(given) - {"low", "high", *fidelities}
        if unknown:
            raise ConfigError(
                f"labels '{self.labels}': unknown fidelity {', '.join(sorted(unknown))}; "
                f"expected low, high or one of {', '.join(fidelities)}."
            )
        sets = {}
        for name in fidelities:
            role = "high" if name == fidelities[-1] else "low"
            if name not in given and role not in given:
                raise ConfigError(f"labels '{self.labels}': nothing for '{name}'; add '{role}=...'.")
            sets[name] = given[name] if name in given else given[role]
        return sets


@dataclass(frozen=True)
class Pools:
    """The frames that a draw may use for each purpose; no group is in two of training, validation and tests.

    Attributes
    ----------
    training
        Frames to train on, whatever labels they have, in the order of the data file.
    gap_ids
        structure_ids of the frames whose HF labels may be used when the coverage is "gap"; None: there is no gap.
    validation
        HF-labelled frames for model selection, best first.
    n_validation
        How many of them are used: those are the first that the coverage allows.
    tests
        HF-labelled test frames by split name; the same for every draw.
    """

    training: Sequence[Atoms]
    gap_ids: frozenset[str] | None
    validation: Sequence[Atoms]
    n_validation: int
    tests: Mapping[str, Sequence[Atoms]]


@dataclass(frozen=True)
class Split:
    """The frames that one (regime, draw) trains on and is scored on.

    Attributes
    ----------
    training
        Training and validation frames.
    tests
        Test frames by split name ("in_coverage", "out_of_coverage"); all have HF energies, and LF labels where
        they exist.
    ceiling
        The same with every HF label of the training groups, the gap's far side included.
    record
        Counts, groups and hashes of the structure_ids of each part.
    """

    training: TrainingSet
    tests: dict[str, list[Atoms]]
    ceiling: TrainingSet
    record: dict[str, Any] = field(default_factory=dict)


class Task(ABC):
    """Frames with labels of several fidelities.

    A new task says where its frames come from (`load`) and which of them may be used for what (`pools`); the
    rest follows. Observables measure potentials on it; some ask a task for more, as
    :class:`mfbench.benchmarks.observables.alloy.AlloyTask` says. Register its class, or a factory without arguments,
    in the entry-point group `mfbench.tasks`.

    Attributes
    ----------
    name, summary
        For the command line and the tables.
    fidelities
        Names, cheapest first; the last one is the target.
    embedded
        Whether the data come with the package (else they are downloaded when first used).
    generator
        Module that computes the labels again (`LEVELS`, `generate(out, levels, workers, limit, progress)`); "": none.
    default_regime
        Regime of the quick comparison.
    starts_from
        By fidelity, a cheaper one whose label of the same frame comes with it, since its calculation starts from that
        one: such a label is paid once.
    duplicate_tolerance
        Å rms of interatomic distances: training frames closer than this to a test frame are refused.
    least_fidelities
        Fewest fidelities that it makes sense with.
    reserved_high
        HF training frames of a draw, the first in its order, that LF sets leave to HF as long as they can (pairing
        "disjoint"); None: all. Where most frames have HF labels, a number keeps LF sets from being made of the others.
    """

    name: str
    summary: str
    fidelities: tuple[str, ...]
    embedded: bool = False
    generator: str = ""
    default_regime: Regime = Regime()
    starts_from: ClassVar[Mapping[str, str]] = {}
    duplicate_tolerance: float = DUPLICATE_TOLERANCE
    least_fidelities: int = 2
    reserved_high: int | None = None

    @abstractmethod
    def load(self) -> list[Atoms]:
        """Return all frames; callers must not change them."""

    @abstractmethod
    def pools(self, draw: int) -> Pools:
        """Say which frames may be used for what; the tests may not depend on the draw."""

    @abstractmethod
    def data_hashes(self) -> dict[str, str]:
        """Return the sha256 of each data file, by its name."""

    @property
    def high(self) -> str:
        """Name of the target fidelity."""
        return self.fidelities[-1]

    @cached_property
    def frames(self) -> list[Atoms]:
        """All frames, loaded and checked once.

        Raises
        ------
        ConfigError
            If a frame lacks a name of its own or a group, or has an energy that is no number.
        """
        return check_frames(self, asked(self, "load()", self.load))

    def label_cost(self, frames: Sequence[Atoms], fidelity: str, labels: LabelSet) -> float:
        """Return CPU-seconds that these labels cost when they were computed; NaN if nobody measured it."""
        return float("nan")

    def units(self) -> Sequence[Unit]:
        """Return the structural units that dynamics has to leave whole; bonds of molecules need not be named."""
        return ()

    def settings(self, preset: str) -> dict[str, Any]:
        """Return strategy settings that this task recommends for a preset ({}: the strategies' own)."""
        return {}

    def split(self, regime: Regime, draw: int) -> Split:
        """Choose the frames of a regime and draw, and refuse if a test frame leaks into them.

        Raises
        ------
        ConfigError
            If the regime asks for more frames than there are, or for a gap that the task does not have, or if the
            task gives no frames, pools or tests that can be used.
        LeakageError
            If a test frame's group, or a near-duplicate of it, is among training or validation frames.
        """
        check_fidelities(self)
        pools = check_pools(self, asked(self, "pools()", lambda: self.pools(draw)), Pools)
        sets = regime.label_sets(self.fidelities)
        allowed = self._allowed(regime, pools)
        validation = [a for a in pools.validation if allowed(a)][: pools.n_validation]
        full = nested_order(self._labelled(pools.training, sets, self.high), seed=SPLIT_SEED, draw=draw)
        high = self._choose_high(regime, [a for a in full if allowed(a)])
        reserved = full[: self.reserved_high] if regime.pairing == "disjoint" else full
        train = {
            name: self._choose_low(regime, self._labelled(pools.training, sets, name), reserved, high, name, draw)
            for name in self.fidelities[:-1]
        }
        training = TrainingSet(self.fidelities, {**train, self.high: high}, sets, validation)
        ceiling = TrainingSet(self.fidelities, {**train, self.high: full}, sets, validation)
        tests = {name: list(frames) for name, frames in pools.tests.items()}
        everything = {id_of(a): a for frames in (*ceiling.train.values(), high) for a in frames}
        learned = list(everything.values())
        self.check_leakage(learned, validation, ("training", "validation"))
        for name, frames in tests.items():
            self.check_leakage(learned, frames, ("training", f"{name} test"))
            self.check_leakage(validation, frames, ("validation", f"{name} test"))
        return Split(training, tests, ceiling, self._record(training, ceiling, tests))

    def check_leakage(self, learned: Sequence[Atoms], held_out: Sequence[Atoms], names: tuple[str, str]) -> None:
        """Refuse a split in which learned frames know held-out ones; `names` is what the two sides are called.

        Raises
        ------
        LeakageError
            See :func:`mfbench.mfcore.data.leakage.check_leakage`.
        """
        tolerance, (training, test) = self.duplicate_tolerance, names
        check_leakage(learned, held_out, tolerance=tolerance, training_name=training, test_name=test)

    def _labelled(self, frames: Sequence[Atoms], sets: Mapping[str, LabelSet], fidelity: str) -> list[Atoms]:
        return [a for a in frames if all(has_label(a, fidelity, label) for label in sets[fidelity].labels)]

    def _allowed(self, regime: Regime, pools: Pools) -> Callable[[Atoms], bool]:
        """Return whether the coverage lets HF labels of a frame be used."""
        if regime.coverage == "full":
            return lambda atoms: True
        if pools.gap_ids is None:
            raise ConfigError(f"coverage 'gap': task '{self.name}' has none; use coverage 'full'.")
        gap_ids = pools.gap_ids
        return lambda atoms: id_of(atoms) in gap_ids

    def _choose_high(self, regime: Regime, pool: Sequence[Atoms]) -> list[Atoms]:
        order = elements_first(pool)
        n = len(order) if regime.n_high == "all" else regime.n_high
        if n > len(order) or not order:
            raise ConfigError(
                f"n_high {regime.n_high}: task '{self.name}' has {len(order)} training frames with the labels "
                f"'{regime.labels}' of '{self.high}' under coverage '{regime.coverage}'."
            )
        return order[:n]

    def _choose_low(
        self,
        regime: Regime,
        pool: Sequence[Atoms],
        reserved: Sequence[Atoms],
        high: Sequence[Atoms],
        name: str,
        draw: int,
    ) -> list[Atoms]:
        paired = regime.pairing == "paired"
        order = low_order(pool, reserved, paired=paired, seed=SPLIT_SEED, draw=draw)
        taken = {id_of(a) for a in high}
        if paired:
            chosen = [a for a in order if id_of(a) in taken]
            if len(chosen) < len(taken):
                raise ConfigError(
                    f"pairing 'paired': {len(taken) - len(chosen)} of {len(taken)} HF training frames have no "
                    f"labels of '{name}'; use pairing 'disjoint'."
                )
        else:
            chosen = []
        free = [a for a in order if id_of(a) not in taken]
        n = len(chosen) + len(free) if regime.n_low == "all" else regime.n_low
        if not len(chosen) <= n <= len(chosen) + len(free):
            raise ConfigError(
                f"n_low {regime.n_low}: task '{self.name}' has {len(free)} frames with '{name}' labels beside the "
                f"{len(high)} HF training frames (pairing '{regime.pairing}'); ask for "
                f"{len(chosen)} to {len(chosen) + len(free)}."
            )
        if n == 0:
            raise ConfigError(
                f"n_low {regime.n_low}: every frame with '{name}' labels is an HF training frame, and with pairing "
                f"'{regime.pairing}' none of these may be an LF frame, too; give more frames with '{name}' labels, a "
                "number for n_high, or in a preset `pairing: [paired]`."
            )
        picked = {id_of(a) for a in chosen + free[: n - len(chosen)]}
        return [a for a in order if id_of(a) in picked]

    def _record(
        self, training: TrainingSet, ceiling: TrainingSet, tests: Mapping[str, Sequence[Atoms]]
    ) -> dict[str, Any]:
        parts: dict[str, Sequence[Atoms]] = {f"train_{k}": v for k, v in training.train.items()}
        parts["validation"] = training.validation
        parts[f"ceiling_{self.high}"] = ceiling.train[self.high]
        parts.update({f"test_{k}": v for k, v in tests.items()})
        few = {k: g for k, v in parts.items() if len(g := groups_of(v)) <= 100}  # not thousands of one-frame groups
        forces = {k: sum(has_label(a, self.high, Label.FORCES) for a in v) for k, v in tests.items()}
        return {
            "n_frames": {k: len(v) for k, v in parts.items()},
            "n_high_forces": forces,
            "groups": {k: sorted(g) for k, g in few.items()},
            "sha256": {k: ids_hash(v) for k, v in parts.items()},
        }
