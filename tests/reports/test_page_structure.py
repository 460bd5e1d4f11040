"""The page's structure as assistive technology reads it, and the contrast of its colours; without a browser."""

import re
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise

import pytest

from mfbench.benchmarks.reports.html.page import page
from tests.reports.synthetic import make_rows
from tests.reports.synthetic_details import results_by_group

VOID = {"meta", "link", "input", "br", "img"}


class Tree(HTMLParser):
    """Elements in order: tag, attributes, text inside, and the tags and attributes of those around them."""

    def __init__(self, text):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        made = {"tag": tag, "attrs": dict(attrs), "text": "", "around": [*self._open]}
        self.elements.append(made)
        if tag not in VOID:
            self._open.append(made)

    def handle_endtag(self, tag):
        while self._open and self._open.pop()["tag"] != tag:
            pass

    def handle_data(self, data):
        for made in self._open:
            made["text"] += data

    def of(self, *tags):
        return [made for made in self.elements if made["tag"] in tags]

    def inside(self, outer, *tags):
        return [made for made in self.of(*tags) if any(around is outer for around in made["around"])]


@pytest.fixture(scope="module")
def tree():
    arms = {"single_fidelity": 20.0, "transfer": 10.0, "delta_labels": 10.5}
    return Tree(page(results_by_group(make_rows(arms, draws=3, n_high=(25, 100), failed=[("transfer", 1, 0)]))))


def test_the_page_has_a_language_a_title_and_one_main_part(tree):
    assert tree.of("html")[0]["attrs"]["lang"] == "en"
    assert "synthetic" in tree.of("title")[0]["text"]
    assert len(tree.of("main")) == len(tree.of("h1")) == 1
    assert "width=device-width" in next(e["attrs"]["content"] for e in tree.of("meta") if "name" in e["attrs"])


def test_the_decision_comes_first_then_the_evidence_then_where_it_is_from(tree):
    titles = [made["text"] for made in tree.of("h2")]
    order = ("Decision: which arm to use", "Which arm for my budget", "Results", "Failed runs", "How to read this")
    assert titles == [*order, "Where the numbers are from"]
    (first, *_) = tree.of("h4")
    assert first["text"] == "nhigh = 25: use delta_labels"
    (reason, *_) = tree.inside(first["around"][-1], "p")
    assert reason["text"].startswith("delta_labels is best: every other arm is significantly worse")


def test_headings_go_down_by_one_level(tree):
    levels = [int(made["tag"][1]) for made in tree.of("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_each_id_is_there_once_and_each_link_within_the_page_leads_to_one(tree):
    ids = [made["attrs"]["id"] for made in tree.elements if "id" in made["attrs"]]
    assert len(ids) == len(set(ids))
    links = [made["attrs"]["href"] for made in tree.of("a")]
    within = {link[1:] for link in links if link.startswith("#")}
    assert within <= set(ids)
    assert links[0] == "#main"
    for made in tree.elements:
        assert set(made["attrs"].get("aria-labelledby", "").split()) <= set(ids)


def test_tables_have_names_and_each_head_says_what_it_is_head_of(tree):
    tables = tree.of("table")
    assert len(tables) >= 4
    for table in tables:
        assert len(tree.inside(table, "caption")) == 1
        heads = tree.inside(table, "th")
        assert heads
        assert {head["attrs"].get("scope") for head in heads} <= {"col", "row", "rowgroup"}


def test_controls_and_charts_have_names(tree):
    for control in tree.of("input", "select", "textarea"):
        (label,) = [made for made in control["around"] if made["tag"] == "label"]
        assert re.search(r"\w", label["text"])
    assert all(re.search(r"\w", made["text"]) for made in tree.of("button"))
    charts = [made["attrs"] for made in tree.elements if made["attrs"].get("class") == "chart"]
    assert len(charts) == 3
    assert all(chart["role"] == "group" and chart["aria-label"] for chart in charts)
    assert all("alt" in made["attrs"] for made in tree.of("img"))


# ---------------------------------------------------------------- colours


def luminance(colour):
    """Relative luminance of an sRGB colour (WCAG 2.2)."""
    digits = colour.removeprefix("#")
    digits = "".join(2 * one for one in digits) if len(digits) == 3 else digits
    channels = [int(digits[at : at + 2], 16) / 255.0 for at in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """Contrast ratio of two colours (WCAG 2.2), from 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_of_contrast():
    assert contrast("#000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the known grey that just fails
    assert contrast("#0b5a8f", "#0b5a8f") == 1.0


@pytest.mark.parametrize("scheme", [0, 1, 2])  # light, dark, printed
def test_text_has_the_contrast_of_level_aa(scheme):
    style = files("mfbench.benchmarks.reports.html").joinpath("templates/style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    assert len(blocks) == 3
    # A later block has what it changes.
    colours = dict(pair for block in (blocks[0], blocks[scheme]) for pair in re.findall(r"--(\w+): (#\w+)", block))
    for paper in ("paper", "tint"):
        for ink in ("ink", "soft", "accent"):
            assert contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
    # Everything that is written takes its colour from these.
    assert set(re.findall(r"(?<![-\w])color: ([^;]+);", style)) <= {
        "var(--ink)",
        "var(--soft)",
        "var(--accent)",
        "inherit",
    }
