"""LaTeX tables: what siunitx can read, and that a document of them compiles where there is a LaTeX."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from mfbench.benchmarks.reports import report
from mfbench.benchmarks.reports.details import Details
from mfbench.benchmarks.reports.latex import NUMBER, tex
from mfbench.benchmarks.reports.numbers import with_error
from mfbench.benchmarks.reports.results import Results
from tests.reports.synthetic import make_rows, with_metric
from tests.reports.synthetic_details import make_details


def jitter(arm, draw, seed):
    return 1.0 + 0.02 * np.sin(3 * draw + len(arm) + seed)


@pytest.fixture(scope="module")
def document():
    arms = {"low_fidelity": 30.0, "single_fidelity": 20.0, "multi_fidelity": 10.0}
    rows = make_rows(arms, draws=3, n_high=(100, 400), spread=jitter)
    rows = with_metric(rows, "md_rmst_ps_300K", "md", lambda a, d, s: 5.0 + d, "ps")
    rows = with_metric(rows, "li_diffusivity_cm2_per_s_600K", "md", lambda a, d, s: 2e-6 + d * 1e-9, "cm²/s")
    rows = with_metric(rows, "li_conductivity_ms_per_cm_300K", "md", lambda a, d, s: 1e-8 * (1 + 0.1 * d), "mS/cm")
    rows = with_metric(rows, "mixing_energy_r2", "mixing", lambda a, d, s: 0.9 + 0.01 * d)
    return report(Results(rows, Details(tables=make_details(rows, "survival", "blocks"))), "tex")


def test_fields_of_number_columns_are_numbers_or_in_braces(document):
    checked = 0
    for table in re.findall(r"\\begin\{tabular\}.*?\\end\{tabular\}", document, flags=re.S):
        kinds = re.match(r"\\begin\{tabular\}\{(\w+)\}", table)[1]
        body = table.split("\\midrule\n")[1].split("\\bottomrule")[0]
        for line in body.strip().splitlines():
            fields = line.removesuffix(r" \\").split(" & ")
            assert len(fields) == len(kinds)
            for kind, field in zip(kinds, fields, strict=True):
                if kind == "S":
                    bare = field.removeprefix(r"\bfseries ").replace(" +- ", " ± ")
                    assert NUMBER.fullmatch(bare) or re.fullmatch(r"\{[^{}]*\}", field), field
                    checked += 1
    assert checked > 50


def test_what_a_number_column_can_read():
    for text in ("12.0", "-3 ± 2", "1.00e-09", "1.10 ± 0.25e-8", with_error(1.1e-8, 2.5e-9)):
        assert NUMBER.fullmatch(text), text
    for text in ("–", "> 4.0, not reached", "3.2 [1.1, 9.0]"):
        assert not NUMBER.fullmatch(text)


def test_signs_are_escaped():
    assert tex("a_b & 5 % of 10⁶ #1 {x}") == r"a\_b \& 5 \% of 10$^{6}$ \#1 \{x\}"
    assert tex("µs/atom, meV/Å, cm²/s") == r"\textmu{}s/atom, meV/\AA{}, cm$^{2}$/s"
    assert document_is_ascii(tex("– × ± σ > <"))


def document_is_ascii(text):
    return text.isascii()


def test_only_comments_have_signs_beyond_ascii(document):
    code = [line for line in document.splitlines() if not line.startswith("%")]
    assert all(map(document_is_ascii, code))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on PATH")
def test_a_document_compiles(document, tmp_path):
    found = subprocess.run(["kpsewhich", "siunitx.sty", "booktabs.sty"], capture_output=True, text=True, check=False)
    if len(found.stdout.split()) < 2:
        pytest.skip("LaTeX has no siunitx or booktabs")
    preamble = "\n".join(line.removeprefix("% ") for line in document.splitlines()[:2])
    tables = document.replace("\\end{tabular}", "\\end{tabular}\\par")
    page = "\\usepackage[paperwidth=900mm,paperheight=900mm,margin=5mm]{geometry}\\usepackage{textcomp}"
    text = f"\\documentclass{{article}}{page}\n{preamble}\n\\begin{{document}}\n{tables}\\end{{document}}\n"
    (tmp_path / "d.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "d.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "d.pdf").stat().st_size > 10_000
    assert "Overfull" not in done.stdout
