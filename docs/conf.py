"""Configuration of the documentation: `python -m tox run -e docs` builds it, and runs every command in it."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "mfbench"
author = "mfbench developers"
project_copyright = "mfbench developers"
version = release = importlib.metadata.version("mfbench")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "run_commands",
    "command_line",
    "settings_tables",
    "plugin_tables",
]
exclude_patterns = ["_build", "_ext"]
templates_path: list[str] = []

html_theme = "furo"
html_title = f"mfbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["access.js"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4
# Pages of GitHub and of this site write `$` as a sign of shells and formulas alike: no mathematics between two of them.
myst_dmath_allow_labels = False

# Notebooks are executed whenever the site is built, and a cell that fails ends the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 1800
nb_merge_streams = True

# Single backticks in docstrings are code, as in Markdown.
default_role = "literal"
python_maximum_signature_line_length = 90
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True

# What is computed while the site is built takes one thread each, and writes nothing beside it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
