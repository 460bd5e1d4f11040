"""The HTML page without a browser: what it holds, that it is closed to the network, and the budget rule."""

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from mfbench.benchmarks.cli.main import app
from mfbench.benchmarks.harness.rows_file import write_rows
from mfbench.benchmarks.harness.store import RunStore
from mfbench.benchmarks.reports.costs import cost_summaries
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.html.content import sections
from mfbench.benchmarks.reports.html.data import payload
from mfbench.benchmarks.reports.html.grid import collapsed, slider_sizes
from mfbench.benchmarks.reports.html.origin import Origin, origin_of
from mfbench.benchmarks.reports.html.page import inline, page
from mfbench.benchmarks.reports.html.values import finite
from mfbench.benchmarks.reports.recommend import recommendation
from mfbench.benchmarks.reports.results import Results
from mfbench.benchmarks.reports.summary import summaries
from mfbench.mfcore.errors import ConfigError
from tests.reports.synthetic import make_rows, with_metric
from tests.reports.synthetic_details import make_details, results_by_group

ARMS = {"single_fidelity": 20.0, "transfer": 10.0, "delta_labels": 10.5, "single_fidelity_all": 4.0}
METRIC, SPLIT = "force_mae_mev_per_A", "out_of_coverage"
NASTY = '</script><script>alert("x")</script><!-- "\'& %{x}'


def jitter(arm, draw, seed):
    return 1.0 + 0.03 * np.sin(3 * draw + len(arm) + seed)


class Parsed(HTMLParser):
    """Elements with their attributes, texts of scripts, and the cells of tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data
        else:
            self.text.append(data)


@pytest.fixture(scope="module")
def rows():
    return make_rows(ARMS, draws=3, seeds=2, n_high=(25, 100, 400), spread=jitter)


@pytest.fixture(scope="module")
def few():
    return make_rows(ARMS, draws=2, spread=jitter)


@pytest.fixture(scope="module")
def made(rows):
    origin = Origin("rows.csv.gz", "mfbench report rows.csv.gz --format html", rows_hash="abc")
    return page(results_by_group(rows), origin)


# ---------------------------------------------------------------- the page


def test_the_page_loads_nothing_and_runs_its_own_scripts_alone(made):
    parsed = Parsed(made)
    loading = ("src", "srcset", "action", "formaction", "poster", "background", "ping")
    assert [(tag, a) for tag, a in parsed.elements if any(name in a for name in loading)] == []
    links = [a["href"] for tag, a in parsed.elements if "href" in a and tag != "a"]
    assert links == ["data:,"]
    assert [a for _, a in parsed.elements if any(name.startswith("on") for name in a)] == []
    policy = next(a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    running = parsed.scripts[1:]  # the first is data
    assert [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in running] == allowed
    assert "@import" not in made.partition("<body>")[0]
    assert "url(" not in made.partition("<body>")[0]


def test_the_page_is_small_enough_to_send_and_the_same_each_time(few, made):
    assert len(made.encode()) < 6_000_000
    assert page(Results(few.sample(frac=1.0, random_state=1))) == page(Results(few))


def test_names_cannot_break_out(few):
    nasty = few.replace({"arm": {"transfer": NASTY}})
    parsed = Parsed(page(Results(nasty)))
    assert len(parsed.scripts) == 3
    data = json.loads(parsed.scripts[0])
    assert NASTY in [arm["name"] for arm in data["arms"]]
    assert "<" not in parsed.scripts[0]
    assert NASTY in parsed.text


def test_a_script_that_would_end_its_element_is_refused():
    with pytest.raises(ValueError, match="</script"):
        inline("x = '</SCRIPT>'")
    assert inline("a\r\nb\rc") == "a\nb\nc"


def test_cells_are_those_of_the_tables(rows, made):
    for table in summaries(results_by_group(rows)):
        for (arm, quantity), entry in table.entries.items():
            value = quantity.scale * entry.interval.estimate
            assert f'data-value="{value}"' in made, (arm, quantity)
    # half-width of three draws, two significant digits, the best in bold
    tables = summaries(results_by_group(rows))
    entry = next(
        e for (arm, q), e in tables[1].entries.items() if arm == "transfer" and q.key == METRIC and q.split == SPLIT
    )
    assert entry.best
    assert f"<strong>{entry.interval.estimate:.0f} ± {entry.interval.half_width:.0f}</strong>" in made


def test_the_head_says_where_the_numbers_are_from(rows, made):
    keys = "\n".join(sorted(set(rows["run_key"])))
    assert hashlib.sha256(keys.encode()).hexdigest() in made
    assert "rows.csv.gz, sha256 abc" in made
    assert "<code>mfbench report rows.csv.gz --format html</code>" in made
    assert f"{rows['run_key'].nunique()}, none failed" in made
    assert "2026-01-01" in made


def test_the_recommendation_stands_in_words(rows, made):
    for found in recommendation(results_by_group(rows)).values():
        assert found.reason in made or found.reason[0].upper() + found.reason[1:] in made


def test_failed_runs_are_listed_with_their_reasons(tmp_path):
    from mfbench.benchmarks.harness.store import COLUMNS

    rows = make_rows({"a": 10.0, "b": 20.0}, draws=2, failed=[("b", 1, 0)])
    store = RunStore(tmp_path)
    for key, part in rows.groupby("run_key"):
        failed = part["status"].iloc[0] == "failed"
        record = {"cell": {"run": key}, "identity": {"data": {"x.npz": "d1e2"}}}
        record["split"] = {"n_frames": {"train_low": 400, "train_high": 100, "ceiling_high": 300}}
        record |= {"reason": "diverged at step <7>"} if failed else {}
        store.save(
            str(key),
            "failed" if failed else "finished",
            record,
            part.reindex(columns=list(COLUMNS), fill_value=0).to_dict("records"),
        )
    origin = origin_of(tmp_path, "x")
    assert origin.reasons == {"b-100-1-0": "diverged at step <7>"}
    assert origin.data_hashes == {"x.npz": "d1e2"}
    assert set(origin.n_low.values()) == {400}
    text = page(Results(store.rows()), origin)
    assert "diverged at step &lt;7&gt;" in text
    assert "4, of which 1 failed" in text
    assert "x.npz, sha256 d1e2" in text
    assert "not stored in a file of rows" in page(Results(store.rows()))


def test_stability_and_f1_have_tables_of_their_own(few):
    """`transfer` survives longest; what is better when higher is marked so."""
    first = few[few["metric"] == METRIC].drop_duplicates("run_key")
    survived = first["arm"].map({"transfer": 19.0}).fillna(5.0) + 0.1 * first["draw"]
    stability = first.assign(split="md", metric="md_rmst_ps_300K", unit="ps", value=survived)
    f1 = first.assign(split="hull", metric="hull_f1", unit="", value=0.5 + 0.01 * first["draw"])
    (section,) = sections(Results(more := pd.concat([few, stability, f1])), summaries(Results(more)))
    tables = {table.name: table for table in section.tables}
    assert tables["MD stability"].columns[0][1] == "ps"
    lines = {line.arm: line.cells[0] for line in tables["MD stability"].groups[0].lines}
    assert lines["transfer"].value == pytest.approx(19.05)
    assert [arm for arm, cell in lines.items() if cell.best] == ["transfer"]
    assert "<caption>Stability classification</caption>" in page(Results(more))


def test_how_many_more_labels_single_fidelity_needs():
    """Errors 11 to 20 with a law of n^(-1/2): (20 / 11)² labels; with 400 there is no larger set to compare with."""
    rows = make_rows({"single_fidelity": 20.0, "transfer": 11.0}, draws=3, n_high=(25, 100, 400))
    (section,) = sections(Results(rows), summaries(Results(rows)), cost_summaries(Results(rows)))
    table = section.tables[-1]
    assert "single_fidelity needs for the same HF force MAE out of coverage" in table.name
    (line,) = table.groups[0].lines
    assert [cell.text for cell in line.cells] == ["3.3", "3.3", "> 1.0"]


def test_one_run_an_arm_makes_a_page_too():
    text = page(Results(make_rows({"a": 10.0, "b": 20.0})))
    assert "none can be named" in text


def test_the_command_writes_the_file(few, tmp_path):
    write_rows(few, tmp_path / "rows.csv.gz")
    out = tmp_path / "deep" / "page.html"
    done = CliRunner().invoke(app, ["report", str(tmp_path / "rows.csv.gz"), "--format", "html", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(out)
    assert hashlib.sha256((tmp_path / "rows.csv.gz").read_bytes()).hexdigest() in out.read_text(encoding="utf-8")
    text = tmp_path / "report.md"
    done = CliRunner().invoke(app, ["report", str(tmp_path / "rows.csv.gz"), "--format", "md", "--out", str(text)])
    assert text.read_text(encoding="utf-8").startswith("### synthetic")


def test_rows_without_a_column_are_refused(rows):
    with pytest.raises(ConfigError, match="no column draw"):
        page(Results(rows.drop(columns="draw")))


# ---------------------------------------------------------------- its data


@pytest.fixture(scope="module")
def data(rows):
    return payload(results_by_group(rows), Origin())


@pytest.fixture(scope="module")
def compared(rows):
    """The rows of the metric and split that arms are compared by."""
    return rows[(rows["metric"] == METRIC) & (rows["split"] == SPLIT)]


def test_curves_are_geometric_means_and_ratios_are_paired(rows, data):
    series = data["regimes"][0]["series"][f"{METRIC}|{SPLIT}"]
    own = rows[(rows["arm"] == "transfer") & (rows["metric"] == METRIC) & (rows["split"] == SPLIT)]
    logs = np.log(own[own["n_high"] == "100"].pivot(index="draw", columns="seed", values="value")).mean(axis=1)
    estimate, low, high, n_runs, n_units, over = series["means"]["transfer"]["100"]
    assert estimate == pytest.approx(math.exp(logs.mean()))
    reach = 4.302653 * logs.std() / math.sqrt(3)  # t at two degrees of freedom
    assert (low, high) == pytest.approx((math.exp(logs.mean() - reach), math.exp(logs.mean() + reach)), rel=1e-6)
    assert (n_runs, n_units, over) == (6, 3, "draws")
    amplitude, exponent = series["laws"]["transfer"]
    assert exponent == pytest.approx(0.5, abs=1e-9)
    assert amplitude * 100**-0.5 == pytest.approx(estimate)
    there = series["ratios"]["100"]["single_fidelity"]["transfer"]
    back = series["ratios"]["100"]["transfer"]["single_fidelity"]
    assert there[0] * back[0] == pytest.approx(1.0, rel=1e-4)
    assert there[1] * back[2] == pytest.approx(1.0, rel=1e-4)
    assert there[-1] == 5  # groups of test frames
    assert "single_fidelity_all" not in series["ratios"]["100"]


def test_groups_that_arms_err_on_differently_widen_the_ratios_of_the_page(rows):
    chosen = rows["arm"].isin(["single_fidelity", "transfer"]) & (rows["n_high"] == "100")
    rows = rows[chosen & (rows["metric"] == METRIC)]
    blocks = make_details(rows, "blocks")["blocks"]
    raised = (blocks["arm"] == "transfer") & (blocks["group"] == "d")
    lowered = (blocks["arm"] == "transfer") & (blocks["group"] == "e")  # of half the weight
    blocks.loc[raised, "value"] *= 1.3
    blocks.loc[lowered, "value"] *= 1.0 - 2 * 0.3 * 0.9
    widths = []
    for results in (Results(rows), results_by_group(rows), Results(rows, Details(tables={"blocks": blocks}))):
        found = payload(results, Origin())
        line = found["regimes"][0]["series"][f"{METRIC}|{SPLIT}"]["ratios"]["100"]["single_fidelity"]["transfer"]
        widths.append(math.log(line[2] / line[1]))
    assert widths[0] == pytest.approx(widths[1], rel=1e-3)  # there groups err in proportion
    assert widths[2] > 1.5 * widths[1]


def test_measured_label_prices_are_read_from_costs(compared):
    """HF labels of 30 CPU-s, LF labels of 2, and validation labels worth 500 that every arm has."""
    n_high = pd.to_numeric(compared["n_high"], errors="coerce").fillna(0.0)
    priced = compared.assign(
        label_cost_cpu_s=500.0 + 30.0 * n_high + np.where(compared["arm"] == "single_fidelity", 0.0, 2.0 * 400)
    )
    (regime,) = payload(Results(priced), Origin())["regimes"]
    budget = regime["budget"]
    assert budget["prices"] == pytest.approx({"high": 30.0, "low": 2.0})
    assert budget["ratios"][budget["start"][1]] == pytest.approx(2.0 / 30.0, rel=1e-2)
    unknown = compared.assign(label_cost_cpu_s=math.nan)
    (regime,) = payload(Results(unknown), Origin())["regimes"]
    assert regime["budget"]["prices"] is None


def test_the_slider_stands_at_every_measured_size():
    sizes = slider_sizes([25, 100, 400])
    assert {25, 100, 400} <= set(sizes)
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (25, 400)


def test_n_low_all_is_read_from_the_records(compared):
    rows = compared.assign(n_low="all")
    unknown = payload(Results(rows), Origin())["regimes"][0]["budget"]
    assert (unknown["nLow"], unknown["ratios"]) == (None, [0.0])  # free: their price would be of no known number
    known = Origin(n_low=dict.fromkeys(rows["run_key"], 1234))
    assert payload(Results(rows), known)["regimes"][0]["budget"]["nLow"] == 1234


def test_numbers_are_such_as_json_can_hold():
    assert [finite(value) for value in (math.nan, math.inf, -math.inf)] == [None, None, None]
    assert finite(123.456, 3) == 123.0
    assert finite(0.996, decimals=2) == 1.0
    assert finite(1.0 / 3.0) == 1.0 / 3.0


def test_equal_values_of_a_table_are_written_once():
    assert collapsed([[1, 1], [1, 1]]) == 1
    assert collapsed([[1, 1], [2, 2]]) == [1, 2]
    assert collapsed([[1, 2], [1, 2]]) == [[1, 2], [1, 2]]
    assert collapsed([[1, 2], [3, 3]]) == [[1, 2], 3]
    assert collapsed([]) == []


def test_the_panel_s_tables_spend_the_budget_and_name_arms(data):
    (regime,) = data["regimes"]
    budget = regime["budget"]
    n, ratio = budget["sizes"].index(100), budget["ratios"].index(0.1)
    assert budget["worth"][n][ratio] == pytest.approx(140.0)
    assert budget["bought"]["single_fidelity"][n][ratio] == 140
    assert budget["bought"]["transfer"][n] == 100  # at every ratio
    assert budget["bought"]["delta_labels"][n][ratio] == 90
    assert "single_fidelity_all" not in budget["bought"]
    assert budget["costs"]["single_fidelity"]["100"] == 100
    assert budget["costs"]["delta_labels"]["100"][0][ratio] == pytest.approx(150.0)
    assert "all" not in budget["costs"]["single_fidelity_all"]
    found = regime["series"][f"{METRIC}|{SPLIT}"]["budget"]
    assert set(found["all"]["error"]) == {"single_fidelity", "transfer", "delta_labels"}
    assert set(found["alone"]["error"]) == {"single_fidelity", "transfer"}
    assert {name for name, _, _ in data["reasons"]} >= {None, "transfer"}


def test_the_reference_s_line_is_no_arm_that_a_filter_could_hide():
    rows = make_rows({"a": 10.0, "b": 20.0}, draws=2)
    for member in ("GaN", "InN"):
        rows = with_metric(rows, f"bulk_modulus_{member}_gpa", "mixing", lambda a, d, s: 200.0 + d, "GPa")
    text = page(Results(rows, Details(tables=make_details(rows, "eos"))))
    assert re.search(r'<tr class="reference"><th scope="row">HF reference</th><td[^>]*>29\d</td>', text)
    assert 'data-arm="HF reference"' not in text
