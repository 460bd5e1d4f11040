"""The HTML page in a real browser: opened from the disk, sorted, filtered, its sliders moved."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from mfbench.benchmarks.reports.arms import traits
from mfbench.benchmarks.reports.html.budget import REMARKS, BudgetRule
from mfbench.benchmarks.reports.html.grid import arm_curves
from mfbench.benchmarks.reports.html.page import page
from tests.browser import axe_file, missing, seen_as, start_browser, violations, wider_than_the_window
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import results_by_group

pytest.importorskip("selenium", reason="selenium is not installed")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ARMS = {
    "single_fidelity": 40.0,
    "transfer": 20.0,
    "delta_labels": 21.0,
    "delta_model": 30.0,
    "single_fidelity_all": 4.0,
}
METRIC, SPLIT = "force_mae_mev_per_A", "out_of_coverage"
SIZES = (25, 100, 400)


def jitter(arm, draw, seed):
    return 1.0 + 0.005 * np.sin(3 * draw + len(arm) + seed)


@pytest.fixture(scope="module")
def rows():
    first = make_rows(ARMS, draws=4, seeds=2, n_high=SIZES, spread=jitter, failed=[("delta_model", 1, 0)])
    second = make_rows(ARMS | {"transfer": 90.0}, draws=3, seeds=2, n_high=SIZES, spread=jitter)
    second = second.assign(labels="low=EF,high=EF", task="other", run_key="other-" + second["run_key"])
    return pd.concat([first, second], ignore_index=True)


@pytest.fixture(scope="module")
def text(rows):
    return page(results_by_group(rows))


@pytest.fixture(scope="module")
def regimes(text):
    """The numbers that the page holds."""
    return json.loads(text.partition('id="data">')[2].partition("</script>")[0])["regimes"]


@pytest.fixture(scope="module")
def driver(text, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    browser = start_browser(folder)
    try:
        browser.get(path.as_uri())
        yield browser
    finally:
        browser.quit()


def element(driver, selector):
    return driver.find_element(By.CSS_SELECTOR, selector)


def elements(driver, selector):
    return driver.find_elements(By.CSS_SELECTOR, selector)


def shown(driver, selector, attribute="data-arm"):
    """An attribute of each element that is to be seen."""
    script = (
        "return [...document.querySelectorAll(arguments[0])].filter(e => e.offsetParent !== null)"
        ".map(e => e.getAttribute(arguments[1]))"
    )
    return driver.execute_script(script, selector, attribute)


def slide(driver, name, value):
    """Move an input as a hand does: the value, then its event."""
    script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
    driver.execute_script(script, element(driver, f"#{name}"), str(value))


def drawn(driver, chart, regime="regime-0"):
    """Wait until a chart is there, and give its traces."""
    box = element(driver, f'.chart[data-chart="{chart}"][data-regime="{regime}"]')
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", box)
    WebDriverWait(driver, 10).until(lambda d: box.find_elements(By.CSS_SELECTOR, ".points path"))
    return box, driver.execute_script("return arguments[0].data.map(t => ({name: t.name, y: [...t.y]}))", box)


def test_it_opens_from_the_disk_without_complaint_or_request(driver):
    assert element(driver, "#budget-link").is_displayed()
    for chart in ("curve", "cost", "forest"):
        drawn(driver, chart)
    buttons = [b.get_attribute("data-title") for b in elements(driver, ".modebar-btn")]
    assert len(buttons) == 3 * 4
    assert not any("Share" in title for title in buttons)
    assert driver.get_log("browser") == []  # a script that the policy stops, or an error, would stand here
    assert driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert "synthetic" in driver.title


def test_curves_stand_at_the_means(driver, regimes):
    _, traces = drawn(driver, "curve")
    (transfer,) = [t for t in traces if t["name"] == "transfer"]
    means = regimes[0]["series"][f"{METRIC}|{SPLIT}"]["means"]["transfer"]
    assert transfer["y"] == pytest.approx([means[str(n)][0] for n in SIZES])


def test_hover_tells_interval_runs_and_run_keys(driver, rows):
    box, _ = drawn(driver, "curve")
    point = box.find_elements(By.CSS_SELECTOR, ".scatterlayer .trace .points path")[0]
    ActionChains(driver).move_to_element(point).perform()
    WebDriverWait(driver, 5).until(lambda d: box.find_elements(By.CSS_SELECTOR, ".hoverlayer .hovertext"))
    text = box.find_element(By.CSS_SELECTOR, ".hoverlayer .hovertext").text
    assert "95 % interval" in text
    assert "6 runs on 3 draws" in text
    own = rows[(rows["task"] == "other") & (rows["arm"] == "single_fidelity") & (rows["n_high"] == "25")]
    assert all(key[:12] in text for key in own["run_key"])


def test_a_click_and_a_key_sort_within_each_set_size(driver):
    header = element(driver, "#regime-0 table.sortable thead th:nth-child(7)")
    button = header.find_element(By.TAG_NAME, "button")
    assert header.get_attribute("aria-sort") == "none"

    def values(size):
        script = (
            "return [...arguments[0].closest('table').querySelectorAll("
            '`tbody[data-size="${arguments[1]}"] tr[data-arm] td:nth-child(7)`)].map(cell => cell.dataset.value)'
        )
        return [float(value) for value in driver.execute_script(script, header, str(size))]

    button.click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert [len(values(n)) for n in SIZES] == [5, 5, 5]
    assert all(values(n) == sorted(values(n)) for n in SIZES)
    button.send_keys(Keys.ENTER)
    assert header.get_attribute("aria-sort") == "descending"
    assert all(values(n) == sorted(values(n), reverse=True) for n in SIZES)
    first = element(driver, "#regime-0 table.sortable thead th:nth-child(1) button")
    first.click()
    assert header.get_attribute("aria-sort") == "none"


def test_filters_act_on_tables_charts_and_panel(driver):
    box = element(driver, '#filters [data-filter="arm"] input[value="transfer"]')
    before = shown(driver, "#regime-0 table.sortable tr[data-arm]")
    box.click()
    after = shown(driver, "#regime-0 table.sortable tr[data-arm]")
    assert "transfer" in before
    assert after == [arm for arm in before if arm != "transfer"]
    _, traces = drawn(driver, "curve")
    assert "transfer" not in [t["name"] for t in traces]
    assert "transfer" not in shown(driver, "#budget-table tbody tr", "data-option")
    box.click()
    assert shown(driver, "#regime-0 table.sortable tr[data-arm]") == before
    task = element(driver, '#filters [data-filter="task"] input[value="other"]')
    task.click()
    assert not element(driver, "#regime-0").is_displayed()
    assert element(driver, "#regime-1").is_displayed()
    task.click()
    regime = element(driver, '#filters [data-filter="regime"] input[value="regime-1"]')
    regime.click()
    assert not element(driver, "#regime-1").is_displayed()
    regime.click()
    assert element(driver, "#regime-1").is_displayed()


def panel(driver):
    """Read the table: by arm, the numbers and the remark that are written."""
    return driver.execute_script(
        "return Object.fromEntries([...document.querySelectorAll('#budget-table tbody tr')].map("
        "row => [row.dataset.option, [...row.querySelectorAll('td')].map(cell => cell.textContent)]))"
    )


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("regime", [0, 1])
def test_the_panel_says_what_the_rule_says(driver, rows, regimes, regime, alone):
    """At several positions of both sliders, with and without arms that need LF calculations: arm, sentence, numbers."""
    task = ["other", "synthetic"][regime]
    curves = arm_curves(results_by_group(rows[rows["task"] == task]).regimes[0], METRIC, SPLIT)
    if alone:
        curves = {arm: curve for arm, curve in curves.items() if traits(arm).self_contained}
    rule = BudgetRule(curves, n_low=400)
    Select(element(driver, "#budget-regime")).select_by_value(f"regime-{regime}")
    box = element(driver, "#budget-alone")
    if box.is_selected() != alone:
        box.click()
    sizes, ratios = (regimes[regime]["budget"][name] for name in ("sizes", "ratios"))
    named = set()
    for at, column in [(0, 0), (0, 3), (3, 12), (6, 8), (9, 5), (12, 6), (len(sizes) - 1, 0)]:
        slide(driver, "budget-n", at)
        slide(driver, "budget-ratio", column)
        expected = rule.choose(sizes[at], ratios[column])
        answer = element(driver, "#budget-answer")
        assert (answer.get_attribute("data-arm") or None) == expected.arm, (at, column)
        assert element(driver, "#budget-reason").text == expected.reason
        read = panel(driver)
        assert set(read) == set(curves)
        for option in expected.options:
            n, error, probability, remark = read[option.arm]
            assert int(n.replace(",", "")) == int(option.n_high + 1e-9)
            assert remark == REMARKS[option.state]
            if option.state == "none":
                assert (error, probability) == ("–", "–")
            else:
                assert float(error) == pytest.approx(option.error, rel=6e-3)
                assert probability == ("–" if math.isnan(option.probability) else f"{option.probability:.2f}")
        named.add(expected.arm)
    assert len(named) > 1, "the sliders change nothing"


def test_with_free_lf_labels_the_panel_says_what_the_recommendation_says(driver, rows, regimes):
    named = set()
    box = element(driver, "#budget-alone")
    if box.is_selected():
        box.click()
    for at, part in enumerate(results_by_group(rows).regimes):
        Select(element(driver, "#budget-regime")).select_by_value(f"regime-{at}")
        slide(driver, "budget-ratio", 0)
        assert element(driver, "#budget-ratio-value").text == "free"
        for cell in results_by_group(rows).cells_of(part.regime):
            slide(driver, "budget-n", regimes[at]["budget"]["sizes"].index(int(cell.n_high)))
            found = cell.recommendation()
            assert (element(driver, "#budget-answer").get_attribute("data-arm") or None) == found.arm
            read = panel(driver)
            shown = {arm: read[arm][2] for arm in read if read[arm][2] != "–"}
            assert shown == {arm: f"{p:.2f}" for arm, p in found.probabilities.items()}
            named.add(found.arm)
    assert len(named) > 1


def test_without_sizes_to_choose_from_no_link_leads_to_the_panel_and_a_cost_is_known(rows, tmp_path):
    one = rows[(rows["n_high"] == "25") & (rows["task"] != "other")].assign(n_high="all")
    (tmp_path / "report.html").write_text(page(results_by_group(one)), encoding="utf-8")
    browser = start_browser(tmp_path)
    try:
        browser.get((tmp_path / "report.html").as_uri())
        for selector in ("#budget", "#budget-link"):
            assert not element(browser, selector).is_displayed()
        assert element(browser, "#cost").get_attribute("value") != "panel"
    finally:
        browser.quit()


def test_the_panel_s_sliders_are_moved_by_keys_and_say_units(driver, regimes):
    Select(element(driver, "#budget-regime")).select_by_value("regime-0")
    slide(driver, "budget-ratio", regimes[0]["budget"]["ratios"].index(0.05))
    slider = element(driver, "#budget-n")
    slide(driver, "budget-n", 0)
    assert slider.get_attribute("aria-valuetext") == "25 HF labels"
    slider.send_keys(Keys.END)
    assert slider.get_attribute("aria-valuetext") == "400 HF labels"
    assert element(driver, "#budget-ratio").get_attribute("aria-valuetext") == "0.05 HF labels"
    worth = element(driver, "#budget-worth").text
    assert worth == "The budget: 400 HF labels and 400 LF labels at 0.05 HF labels each, together worth 420 HF labels."
    Select(element(driver, "#cost")).select_by_value("panel")
    box, _ = drawn(driver, "cost")
    assert driver.execute_script("return arguments[0].layout.xaxis.title.text", box).endswith("(HF labels)")
    x = driver.execute_script("return arguments[0].data.find(t => t.name === 'transfer').x", box)
    assert x == pytest.approx([n + 20.0 for n in SIZES])


def test_other_metrics_and_references_are_drawn(driver):
    Select(element(driver, "#metric")).select_by_value("energy_mae_mev_per_atom")
    Select(element(driver, "#reference")).select_by_value("transfer")
    box, traces = drawn(driver, "forest")
    title = driver.execute_script("return arguments[0].layout.xaxis.title.text", box)
    assert title.startswith("ratio to transfer")
    assert len(traces) == 3
    _, curve = drawn(driver, "curve", "regime-1")
    assert {t["name"] for t in curve if t["name"]} == set(ARMS)
    assert "meV/atom" in element(driver, "#budget-error").text


def test_all_run_keys_and_failures_are_listed(driver, rows):
    details = element(driver, "#runs")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", details)
    details.find_element(By.TAG_NAME, "summary").click()
    WebDriverWait(driver, 5).until(lambda d: elements(d, "#runs tbody tr"))
    keys = driver.execute_script("return [...document.querySelectorAll('#runs tbody code')].map(e => e.textContent)")
    assert sorted(keys) == sorted(set(rows["run_key"]))
    assert len(elements(driver, "#failures tbody tr")) == len(SIZES) * 1
    assert driver.get_log("browser") == []


@pytest.fixture
def phone(driver):
    """The page as a phone has it."""
    seen_as(driver, width=360, height=740)
    yield driver
    seen_as(driver)


def test_a_phone_scrolls_tables_and_not_the_page(phone):
    for chart in ("curve", "cost", "forest"):
        drawn(phone, chart)
    assert wider_than_the_window(phone) == 0
    # What scrolls sideways is reached by the tabulator and has a name; what does not is no stop on the way.
    boxes = (
        "return [...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility({contentVisibilityAuto: true}))"
        ".map(e => [e.scrollWidth > e.clientWidth, e.tabIndex === 0, e.getAttribute('aria-label')])"
    )
    WebDriverWait(phone, 5).until(lambda d: all(wide == stop for wide, stop, _ in d.execute_script(boxes)))
    found = phone.execute_script(boxes)
    assert any(wide for wide, _, _ in found)
    assert all(bool(name) == wide for wide, _, name in found)


def test_the_tabulator_begins_with_the_way_past_the_contents_and_focus_is_seen(driver):
    driver.refresh()  # or the tabulator would go on from where an earlier test has clicked
    ActionChains(driver).send_keys(Keys.TAB).perform()
    active = driver.switch_to.active_element
    assert active.text == "Skip to the decision"
    assert active.rect["x"] >= 0
    style = "return getComputedStyle(document.activeElement)"
    assert driver.execute_script(f"{style}.outlineStyle") == "solid"
    active.send_keys(Keys.ENTER)
    assert driver.execute_script("return document.activeElement.id") == "main"
    for _ in range(3):  # the panel's choice of a regime and its two sliders come first in the main part
        ActionChains(driver).send_keys(Keys.TAB).perform()
        assert driver.execute_script(f"return [{style[7:]}.outlineStyle, {style[7:]}.outlineWidth]") == ["solid", "2px"]


@pytest.mark.skipif(axe_file() is None, reason="needs axe-core: pip install axe-core-python")
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1300])
def test_axe_finds_no_barrier(driver, width, dark):
    seen_as(driver, width=width, dark=dark)
    drawn(driver, "curve")
    try:
        assert violations(driver, axe_file()) == []
    finally:
        seen_as(driver)
