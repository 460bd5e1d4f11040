"""Runs on machines of a cluster: with a folder that all of them see, or with nothing but messages."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mfbench.benchmarks.harness.execute import RunRequest, compute, execute
from mfbench.benchmarks.harness.executors.base import Aside
from mfbench.benchmarks.harness.prepare import PlannedRun, prepare_one
from mfbench.benchmarks.harness.store import PackedRun, RunStore
from mfbench.mfcore.errors import ConfigError, MfbenchError, StorageError
from mfbench.mfcore.files import write_bytes
from mfbench.mfcore.locks import one_at_a_time

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_S = 2.0
_WORK = "work"


@dataclass(frozen=True)
class SharedRequest:
    """A run for a machine that sees the folder of the store, and the folder in which the command was given."""

    run: PlannedRun
    root: Path
    folder: Path


@dataclass(frozen=True)
class ApartRequest:
    """A run for a machine that sees nothing of this one.

    Attributes
    ----------
    kept
        Checkpoints and stages that runs have in common, by their place below the work folder of the store.
    files
        Files that the options of the run name, by these names.
    """

    run: PlannedRun
    kept: Mapping[str, bytes]
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class KeptFile(Aside):
    """Message of a run: a checkpoint of its has changed, or was removed (None)."""

    name: str
    content: bytes | None

    def keep(self, store: RunStore) -> None:
        """Put it into the work folder of a store.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        parts = PurePosixPath(self.name).parts
        if len(parts) != 2 or ".." in parts or PurePosixPath(self.name).is_absolute():
            raise ConfigError(f"a worker sent a checkpoint named {self.name!r}; expected FOLDER/FILE.")
        path = store.shared.parent.joinpath(*parts)
        if self.content is None:
            path.unlink(missing_ok=True)
        else:
            write_bytes(path, self.content)


def execute_shared(request: SharedRequest, tell: Callable[[Any], None]) -> PackedRun | MfbenchError:
    """Compute a run on a machine that sees the store; two that have the same one compute it one after the other."""
    try:
        os.chdir(request.folder)
    except OSError as error:
        return _no_folder(request.folder, error)
    store = RunStore(request.root)
    if not request.root.is_dir():
        return _no_folder(request.root, FileNotFoundError())
    with one_at_a_time(store.workdir(request.run.key) / ".lock"):
        return differs(request.run) or execute(RunRequest(request.run, request.root), tell)


@dataclass(frozen=True)
class InFolder:
    """Another call for a machine that sees the folder in which the command was given."""

    function: Callable[[Any, Callable[[Any], None]], Any]
    argument: Any
    folder: Path


def call_in_folder(request: InFolder, tell: Callable[[Any], None]) -> Any:
    """Make a call where relative paths mean what they mean to the command.

    Raises
    ------
    ConfigError
        If this machine does not see the folder.
    """
    try:
        os.chdir(request.folder)
    except OSError as error:
        raise _no_folder(request.folder, error) from error
    return request.function(request.argument, tell)


def _no_folder(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{os.uname().nodename} does not see {folder} ({type(error).__name__}); workers need the folder of the runs "
        "and the one of the command: choose an --out on a file system that they share, or give --no-shared-folder."
    )


def execute_apart(request: ApartRequest, tell: Callable[[Any], None]) -> PackedRun | MfbenchError:
    """Compute a run on a machine that sees nothing; its checkpoints are told as they are written."""
    with tempfile.TemporaryDirectory(prefix="mfbench-run-", ignore_cleanup_errors=True) as folder:
        store, run = RunStore(Path(folder)), request.run
        for name, content in request.kept.items():
            KeptFile(name, content).keep(store)
        local = _with_files(run, request.files, Path(folder) / "files")
        if fault := differs(local):
            return fault
        try:
            with _told(store.shared.parent, tell):
                made = compute(run, store.workdir(run.key), store.shared, tell, located=local)
        except Exception as error:
            of_disk = StorageError.within(error)
            if of_disk is None:
                raise
            return of_disk
    return made


def differs(run: PlannedRun) -> ConfigError | None:
    """Say how this process would compute a run otherwise than it was planned; None if it would not."""
    here = prepare_one(run.spec).identity
    wrong = [name for name in run.identity if here.get(name) != run.identity[name]]
    if not wrong:
        return None
    words = "; ".join(f"{name}: planned {run.identity[name]!r:.80}, here {here.get(name)!r:.80}" for name in wrong)
    return ConfigError(
        f"{os.uname().nodename} would compute {run.spec.title()} otherwise than it was planned ({words}). Workers need "
        "the same mfbench, torch, data and kind of device as this command; `mfbench info` prints them."
    )


def apart_request(run: PlannedRun, store: RunStore, shared: frozenset[str]) -> ApartRequest:
    """A run with all that it needs of this machine now.

    Parameters
    ----------
    shared
        Names of the files of common stages that go with it.
    """
    folders = {store.workdir(run.key): None, store.shared: shared}
    kept = {}
    for folder, names in folders.items():
        for path in sorted(folder.glob("*")):
            if _is_kept(path) and (names is None or path.name in names):
                kept[f"{folder.name}/{path.name}"] = path.read_bytes()
    return ApartRequest(run, kept, {name: Path(name).read_bytes() for name in named_files(run.spec.options)})


def named_files(options: Mapping[str, Any]) -> list[str]:
    """Files that the options of a task name: those of a user's levels and tests."""
    named = [options.get("low"), options.get("high"), *(path for _, path in options.get("levels", ()))]
    return [name for name in [*named, *options.get("test", ())] if name]


def _with_files(run: PlannedRun, files: Mapping[str, bytes], folder: Path) -> PlannedRun:
    """The run with options that name copies of the files; what is stored of it has the names that were given."""
    if not files:
        return run
    places = {}
    for number, (name, content) in enumerate(files.items()):
        places[name] = str(folder / str(number) / Path(name).name)
        write_bytes(Path(places[name]), content)
    return replace(run, spec=replace(run.spec, options=_renamed(run.spec.options, places)))


def _renamed(options: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    found = dict(options)
    for key in ("low", "high"):
        if found.get(key):
            found[key] = places[found[key]]
    if "levels" in found:
        found["levels"] = [[name, places[path]] for name, path in found["levels"]]
    if "test" in found:
        found["test"] = [places[path] for path in found["test"]]
    return found


def _is_kept(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.suffix != ".lock"


@contextmanager
def _told(folder: Path, tell: Callable[[Any], None]) -> Iterator[None]:
    """Tell of files that change in the folders of a folder, now and then and at the end."""
    known: dict[str, tuple[int, int]] = {}
    over = threading.Event()

    def look(first: bool = False) -> None:
        there = {}
        for path in folder.glob("*/*"):
            with suppress(OSError):  # removed meanwhile
                if _is_kept(path):
                    there[f"{path.parent.name}/{path.name}"] = (path.stat().st_mtime_ns, path.stat().st_size)
        for name, state in there.items():
            if known.get(name) != state and not first:
                with suppress(OSError):
                    tell(KeptFile(name, (folder / name).read_bytes()))
        for name in known.keys() - there.keys():
            tell(KeptFile(name, None))
        known.clear()
        known.update(there)

    def keep_looking() -> None:
        with suppress(BaseException):  # nobody waits for the run any longer: it ends when it tells how far it is
            while not over.wait(_LOOK_S):
                look()

    look(first=True)
    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        look()
