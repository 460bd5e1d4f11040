"""The external task: where its files are found, what is refused, and the contract on the real data."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from mfbench.benchmarks.tasks import fetch as fetching
from mfbench.benchmarks.tasks.base import Regime
from mfbench.benchmarks.tasks.fetch import RemoteFile, fetch
from mfbench.benchmarks.tasks.h2co.task import H2CO, LEVELS, N_TEST, three_levels
from mfbench.benchmarks.tasks.npz import read_npz
from mfbench.mfcore.data.agreement import energy_force_slope
from mfbench.mfcore.data.frames import energy_of
from mfbench.mfcore.errors import ConfigError, DataError
from mfbench.mfcore.files import sha256_of
from tests.contracts.task import TaskContract

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
needs_files = pytest.mark.skipif(
    not (SHARED / "h2co_3level").is_dir(), reason="the H2CO files are not beside the checkout (../shared/data)"
)


@pytest.fixture
def nothing_downloads(monkeypatch, tmp_path):
    """Downloads fail at once; the cache is empty."""
    pooch = pytest.importorskip("pooch")

    def refuse(*args, **kwargs):
        raise ConnectionError("no network in this test")

    monkeypatch.setattr(pooch, "retrieve", refuse)
    monkeypatch.setattr(fetching, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv(fetching.DATA_VARIABLE, raising=False)


@needs_files
class TestH2CO(TaskContract):
    regimes = (
        Regime(n_low=300, n_high=40, labels="low=EF,high=EF", coverage="full"),
        Regime(n_low=300, n_high=40, pairing="paired", coverage="gap"),
    )
    n_high = (25, 100, 400)

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(fetching.DATA_VARIABLE, str(SHARED))
            task = H2CO()
            assert len(task.frames) == 4001
            yield task

    @pytest.fixture(autouse=True)
    def _local_files(self, monkeypatch):
        monkeypatch.setenv(fetching.DATA_VARIABLE, str(SHARED))

    # n_low of the paired regime is smaller than the largest HF set
    def test_high_sets_are_nested_and_low_sets_depend_on_the_draw_alone(self, task):
        for pairing in ("disjoint", "paired"):
            regime = Regime(n_low=2000, n_high=100, pairing=pairing, coverage="full")
            splits = [task.split(regime.model_copy(update={"n_high": n}), 1) for n in self.n_high]
            for part in ("train_ccsdt_f12", "train_b3lyp", "validation"):
                hashes = {s.record["sha256"][part] for s in splits}
                assert len(hashes) == (3 if part == "train_ccsdt_f12" else 1)
            high = [{a.info["structure_id"] for a in s.training.train["ccsdt_f12"]} for s in splits]
            assert high[0] < high[1] < high[2]

    def test_sizes_and_the_gap(self, task):
        split = task.split(Regime(n_low=300, n_high=50, coverage="gap"), 0)
        assert sum(map(len, split.tests.values())) == N_TEST
        assert len(split.training.validation) == 100
        middle = np.median([energy_of(a, "b3lyp") for a in task.frames])
        restricted = [*split.training.train["ccsdt_f12"], *split.training.validation, *split.tests["in_coverage"]]
        assert max(energy_of(a, "b3lyp") for a in restricted) <= middle
        assert min(energy_of(a, "b3lyp") for a in split.tests["out_of_coverage"]) > middle
        assert max(energy_of(a, "b3lyp") for a in split.training.train["b3lyp"]) > middle

    def test_units_agree(self, task):
        for level in task.fidelities:
            assert energy_force_slope(task.frames[:1000], level) == pytest.approx(1.0, abs=0.02)

    def test_three_levels(self, task):
        three = three_levels()
        assert three.fidelities == LEVELS
        split = three.split(Regime(n_low=50, n_high=10, labels="low=E,mp2=EF,high=E", coverage="full"), 0)
        train = split.training.train
        assert {len(train["b3lyp"]), len(train["mp2"])} == {50}
        assert str(split.training.labels["mp2"]) == "EF"
        assert (
            split.record["sha256"]["test_in_coverage"]
            == (task.split(Regime(n_low=50, n_high=10, coverage="full"), 0).record["sha256"]["test_in_coverage"])
        )

    def test_files_are_found_at_the_top_of_the_folder_too(self, monkeypatch, nothing_downloads):
        monkeypatch.setenv(fetching.DATA_VARIABLE, str(SHARED / "h2co_3level"))
        assert {p.parent for p in H2CO().files().values()} == {SHARED / "h2co_3level"}

    def test_a_file_with_another_content_is_refused(self, monkeypatch, tmp_path, nothing_downloads):
        name = "h2co_b3lyp_ccpvdz_4001.npz"
        shutil.copy(SHARED / "h2co_3level" / name, tmp_path / name)
        with (tmp_path / name).open("ab") as stream:
            stream.write(b"x")
        monkeypatch.setenv(fetching.DATA_VARIABLE, str(tmp_path))
        with pytest.raises(DataError, match=f"{name}.*sha256 is .*expected 4d633bab"):
            H2CO().files()


def test_other_fidelities_are_refused():
    for bad in (("b3lyp",), ("ccsdt_f12", "b3lyp"), ("b3lyp", "pbe")):
        with pytest.raises(ConfigError, match="two or three"):
            H2CO(bad)


def test_every_level_has_an_address_that_does_not_change():
    for level in LEVELS:
        file = H2CO().card["levels"][level]["file"]
        assert len(file["sha256"]) == 64
        assert all(url.startswith("https://") and url.endswith(".npz") for url in file["urls"])


def test_a_cached_or_downloaded_file_must_have_the_right_hash(monkeypatch, tmp_path):
    """Downloads come from a file:// stand-in: the first address is dead, the second right."""
    pooch = pytest.importorskip("pooch")
    source = tmp_path / "source.npz"
    np.savez(source, E=np.zeros(3))
    calls = []

    def retrieve(url, known_hash, fname, path):
        calls.append(url)
        if "dead" in url:
            raise ConnectionError("gone")
        assert known_hash == f"sha256:{sha256_of(source)}"
        Path(path).mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(source, Path(path) / fname))

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    monkeypatch.setattr(fetching, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv(fetching.DATA_VARIABLE, raising=False)
    file = RemoteFile("a.npz", sha256_of(source), ("https://dead/a.npz", "https://live/a.npz"))
    assert fetch(file, "sub") == tmp_path / "cache" / "sub" / "a.npz"
    assert calls == ["https://dead/a.npz", "https://live/a.npz"]


def test_without_network_the_message_says_what_to_do(nothing_downloads):
    with pytest.raises(DataError, match=r"no network in this test.*MFBENCH_DATA"):
        H2CO().files()


def good_arrays():
    return {
        "Z": np.array([[6, 8, 1, 1]] * 2),
        "R": np.random.default_rng(0).normal(size=(2, 4, 3)),
        "E": np.zeros(2),
        "F": np.zeros((2, 4, 3)),
    }


def test_faulty_archives_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **good_arrays())
    assert set(read_npz(path)) == {"Z", "R", "E", "F"}
    faults = {
        "missing": {k: v for k, v in good_arrays().items() if k != "F"},
        "shape": good_arrays() | {"F": np.zeros((2, 3, 3))},
        "finite": good_arrays() | {"E": np.array([0.0, np.nan])},
        "plain arrays": good_arrays() | {"Z": np.array([{"a": 1}, None], dtype=object)},
    }
    for text, arrays in faults.items():
        np.savez(path, **arrays)
        with pytest.raises(DataError, match=text) as caught:
            read_npz(path)
        assert caught.value.file == path
    path.write_text("no archive")
    with pytest.raises(DataError, match="not a NumPy archive"):
        read_npz(path)


def test_levels_with_other_geometries_are_refused(tmp_path, monkeypatch):
    files = {}
    for level, shift in (("b3lyp", 0.0), ("ccsdt_f12", 0.01)):
        arrays = good_arrays()
        arrays["R"][1, 2, 0] += shift
        files[level] = tmp_path / f"{level}.npz"
        np.savez(files[level], **arrays)
    task = H2CO()
    monkeypatch.setattr(task, "files", lambda: files)
    with pytest.raises(DataError, match="geometry differs") as caught:
        task.load()
    assert (caught.value.frame, caught.value.key) == (1, "R")


def test_the_card_is_yaml_with_all_levels():
    card = yaml.safe_load((ROOT / "benchmarks" / "tasks" / "h2co" / "dataset.yml").read_text())
    assert list(card["levels"]) == list(LEVELS)
