"""Places where the layout is not yet, or for a reason not at all, as :mod:`tests.test_architecture` asks.

A new entry needs a reason; one that is no longer needed goes.
"""

from __future__ import annotations

#: Circles of modules that are still to be taken apart. None may be added.
CIRCLES: list[set[str]] = []

#: Commands that import another command. None may be added.
COMMANDS: set[str] = set()

#: Module (a pattern) to plug-ins that it may name, with the reason.
NAMED = {
    # measures our own core: its parts, its rate, its place beside the cores of other people
    "mfbench.benchmarks.performance.*": {"equivariant", "mace", "nequip", "sevennet"},
    # graphs of torch.export are made of the inference path of our own core
    "mfbench.benchmarks.exports.graph": {"equivariant"},
    # a self-connection that sevenn calls by the name of the network that it is of
    "mfbench.mfcore.cores.sevennet.config": {"nequip"},
    # the core that counts where none is named
    "mfbench.mfcore.cores.registry": {"equivariant"},
    # the energies of the h2co data set are what forces are compared on beside other people's potentials
    "mfbench.benchmarks.performance.parity.data": {"h2co", "h2co_3level"},
    # what settings of training are tried on
    "mfbench.benchmarks.performance.training.settings": {
        "h2co",
        "ccsdt_small_molecules",
        "molecular_cc",
        "li6ps5cl",
        "ingan",
        "single_fidelity",
        "multi_fidelity",
    },
    # one of its molecules, as the task of that molecule alone is called
    "mfbench.benchmarks.tasks.ccsdt_small_molecules.*": {"h2co"},
    # labels are computed for a task; the cells of one are for dynamics in which ions move
    "mfbench.benchmarks.labelling.ingan.*": {"ingan"},
    "mfbench.benchmarks.labelling.li6ps5cl.*": {"li6ps5cl", "transport"},
    "mfbench.benchmarks.labelling.molecular_cc.*": {"molecular_cc"},
    # labels of molecular_cc are computed again as its own script computed them
    "mfbench.benchmarks.labelling.recompute": {"molecular_cc"},
    # words in the keys of energies that are no labels
    "mfbench.mfcore.data.label_keys": {"elastic", "hull", "mixing"},
    # a group of metrics, as errors and costs are; the drift of the energy belongs to it, too
    "mfbench.benchmarks.regression.tracked": {"stability"},
}

#: Plug-ins whose name is a word of the language: a string that equals it says nothing; imports of it do.
COMMON_WORDS = {"errors"}

#: Modules (patterns) that no test names, and the reason.
UNNAMED = {
    "mfbench.benchmarks.cli.*": "tests/cli calls the commands by their command lines",
    "mfbench.benchmarks.harness.folders": "tests/cli looks where the commands put runs",
    "mfbench.benchmarks.notebook.*": "parts of mfbench.compare and mfbench.fit, which tests/notebook calls",
    "mfbench.benchmarks.user.*": "tests/cli and tests/notebook ask for the same by command line and from Python",
    "mfbench.benchmarks.performance.contenders.*": "need other people's potentials; made by their names",
    "mfbench.benchmarks.performance.suites*": "timed by `tox run -e speed`",
    "mfbench.benchmarks.performance.speed.calls": "timed in the worker, whose process a test runs",
    "mfbench.benchmarks.performance.speed.worker": "a test runs its process",
    "mfbench.benchmarks.observables.mixing.moduli": "part of an observable, through its contract suite",
    "mfbench.benchmarks.observables.*.report": "parts of observables, through their contract suite",
    "mfbench.benchmarks.regression.report": "through the command regress",
    "mfbench.benchmarks.regression.tracked": "through the measurements of mfbench.benchmarks.regression.measure",
    "mfbench.benchmarks.reports.figures.points": "through the figures",
    "mfbench.benchmarks.reports.grids": "through the page",
    "mfbench.benchmarks.tasks.embedded": "through the tasks whose data are in the package",
    "mfbench.mfcore.backends.*": "the suites of the operations run on every backend",
    "mfbench.mfcore.cores.equivariant.*": "parts of the core, through its contract suite",
    "mfbench.mfcore.ops.*": "the suites of the operations compare all implementations",
    "mfbench.mfcore.core_types": "through mfbench.mfcore.core, which hands them on",
    "mfbench.mfcore.dynamics.checkpoint": "through dynamics that are cut and go on",
    "mfbench.mfcore.dynamics.monitor": "through the dynamics",
    "mfbench.mfcore.potentials.predictions": "through the potential",
    "mfbench.mfcore.training.checks": "through the trainer",
    "mfbench.mfcore.training.progress": "through the trainer",
}

#: Files over the limit that are still to be divided, and their lengths. None may be added or grow.
LONG: dict[str, int] = {}

#: Docstrings that still begin with What, Who or Whether. The number may only fall.
HIDDEN_NOUNS = 0
