"""Files of Matbench Discovery on figshare, with the md5 sums that its repository lists.

Source: `matbench_discovery/data-files.yml` of https://github.com/janosh/matbench-discovery; the data set is
https://figshare.com/articles/dataset/22715158 (CC-BY-4.0).
"""

from __future__ import annotations

from pathlib import Path

from mfbench.benchmarks.tasks.fetch import RemoteFile, fetch

NAME = "wbm"
"""Of the files together, and of their folder."""


def _file(name: str, number: int, md5: str) -> RemoteFile:
    return RemoteFile(name, "", (f"https://figshare.com/ndownloader/files/{number}",), md5)


SUMMARY = _file("2023-12-13-wbm-summary.csv.gz", 64706751, "1555268d3aa59d20262cb9d01ce0994b")
STRUCTURES = _file("2024-08-04-wbm-initial-atoms.extxyz.zip", 48169597, "2a292211ca6acb30ed8416178d644098")
ELEMENTS = _file("2023-02-07-mp-elemental-reference-entries.json.gz", 40387775, "6e93b6f38d6e27d6c811d3cafb23a070")
FILES = (SUMMARY, STRUCTURES, ELEMENTS)


def fetch_file(file: RemoteFile) -> Path:
    """Give the path of one of the files, downloading it if need be.

    Raises
    ------
    DataError
        If it cannot be had, or another file has its name.
    """
    return fetch(file, NAME)
