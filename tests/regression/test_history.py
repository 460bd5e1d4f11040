"""The history keeps old points, and its trend does not join what is not comparable."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfbench.benchmarks.regression.history import append, curves, point, read_history
from mfbench.mfcore.errors import DataError
from tests.regression.made import baseline, cells, changed

CELL = cells()[0]


def points(*errors: float, edited_at: int = 99) -> list[dict]:
    flat = {CELL: {(0, s): 100.0 for s in range(3)}}
    return [
        point(baseline(changed(flat, lambda c, s, v, e=e: v * e), "new" if k >= edited_at else "old"))
        for k, e in enumerate(errors)
    ]


def test_points_are_appended_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "history.jsonl"
    made = points(1.0, 1.2)
    for item in made:
        append(path, item)
    assert read_history(path) == made
    assert made[1]["metrics"]["|".join(CELL)] == pytest.approx(120.0)
    assert (made[1]["commit"], made[1]["mfbench_version"]) == ("abc", "0.1.0")


def test_a_faulty_history_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, points(1.0)[0])
    path.write_text(path.read_text() + "nonsense\n")
    with pytest.raises(DataError, match="line 3: not valid JSON"):
        append(path, points(1.0)[0])
    assert path.read_text().endswith("nonsense\n")


def test_a_changed_line_is_refused_unless_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(path, points(1.0)[0])
    seal, line = map(json.loads, path.read_text().splitlines())
    line["metrics"]["|".join(CELL)] *= 1.5
    for wrong in ([seal, line], [seal, line, line], [seal], [line]):
        path.write_text("".join(f"{json.dumps(item)}\n" for item in wrong))
        with pytest.raises(DataError, match=r"history\.jsonl, key 'sha256': the history was changed"):
            read_history(path)
    path.write_text(f'{{"sha256": "edited"}}\n{json.dumps(line)}\n')
    assert read_history(path)[0]["metrics"]["|".join(CELL)] == pytest.approx(150.0)


def test_a_point_that_a_killed_update_has_added_is_not_added_again(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    first, second = points(1.0, 1.2)
    for item in (first, second, second | {"date": "2026-02-01T00:00:00+00:00"}, first):
        append(path, item)
    assert [item["date"][:7] for item in read_history(path)] == ["2026-01", "2026-02", "2026-01"]


def test_the_trend_is_a_chain_that_breaks_where_the_benchmark_was_edited() -> None:
    (segments,) = curves(points(1.0, 0.5, 3.0, 1.5, edited_at=2)).values()
    assert [[index for index, _ in part] for part in segments] == [[0, 1], [2, 3]]
    assert [[value for _, value in part] for part in segments] == [pytest.approx([1.0, 0.5]), pytest.approx([1.0, 0.5])]


def test_nothing_makes_no_curves() -> None:
    assert curves([]) == {}
