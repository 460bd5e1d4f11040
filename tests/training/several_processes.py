"""One process of a training on several: `python -m tests.training.several_processes FOLDER PROCESSES RANK PORT N`.

It writes scores of its checks, the weights, its peak memory and its time to FOLDER/PROCESSES-RANK.json, and goes on
from FOLDER/stage.ckpt; after N checks it stops (0: never).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path


def main(folder: Path, processes: int, rank: int, port: str, stop: int) -> None:
    """Train, and write down how it went."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if processes > 1:
        os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0"}
    import numpy as np
    import torch
    from ase import Atoms

    from mfbench.mfcore.cores.equivariant.config import EquivariantConfig
    from mfbench.mfcore.cores.equivariant.model import EquivariantCore
    from mfbench.mfcore.data.frames import set_labels
    from mfbench.mfcore.fidelity import LabelSet
    from mfbench.mfcore.training.budget import Budget
    from mfbench.mfcore.training.config import TrainingConfig
    from mfbench.mfcore.training.stage import StageTask
    from mfbench.mfcore.training.trainer import StageTrainer

    rng = np.random.default_rng(0)
    frames = []
    for number in range(24):
        atoms = Atoms("OH" * (1 + number % 3), rng.uniform(0, 3, (2 + 2 * (number % 3), 3)))
        forces = rng.normal(size=(len(atoms), 3)) if number % 4 else None  # shares differ in their labels
        set_labels(atoms, "high", energy=float(rng.normal()), forces=forces)
        frames.append(atoms)
    torch.manual_seed(0)
    config = EquivariantConfig(cutoff=3.0, n_layers=1, lmax=1, channels=8, radial_hidden=(8,), backend="reference")
    core = EquivariantCore(config, (1, 8), ("high",), "none", 4.0)
    task = StageTask("fit", {"high": frames[:16]}, {"high": LabelSet.parse("EF")}, "high", frames[16:], None)
    settings = {
        "batch_frames": 3,
        "precision": "float64",
        "devices": processes,
        "accelerator": "cpu",
        "free_e0": "never",
    }
    training = TrainingConfig.model_validate(settings | {"checkpoint_s": 1e6})
    checks = []

    def progress(stage: str, spent: float, budget: float) -> None:
        checks.append(spent)
        if stop and len(checks) >= stop:
            trainer._save()
            raise KeyboardInterrupt

    started = time.perf_counter()
    trainer = StageTrainer(core, task, training, Budget(1500.0), 0, folder / "stage.ckpt", progress)
    try:
        trainer.fit()
    except KeyboardInterrupt:
        trainer.world.barrier()
        return
    found = {
        "scores": trainer.state.scores,
        "weights": [float(p.detach().norm()) for p in trainer.parameters],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "wall_s": time.perf_counter() - started,
        "processes": trainer.world.world_size,
    }
    (folder / f"{processes}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
