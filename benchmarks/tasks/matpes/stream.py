"""Items of a JSON list that is too large to be read at once, plain or gzipped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfbench.mfcore.errors import DataError

CHUNK = 1 << 20
LARGEST_ITEM = 1 << 26
"""Characters of an item; more is no list of documents."""


def items(path: Path, chunk: int = CHUNK) -> Iterator[Any]:
    """Yield the items of the list in a file, one at a time.

    Raises
    ------
    DataError
        If the file is damaged, or no JSON list; names the item.
    """
    decoder = json.JSONDecoder()
    packed = path.suffix.lower() == ".gz"
    number, text, begun = 0, "", False
    try:
        with gzip.open(path, "rt", encoding="utf-8") if packed else path.open(encoding="utf-8") as stream:
            while True:
                more = stream.read(chunk)
                text = (text + more).lstrip()
                if not begun:
                    if not text and more:
                        continue
                    if not text.startswith("["):
                        raise DataError("expected a JSON list.", file=path)
                    begun, text = True, text[1:].lstrip()
                while text and not text.startswith("]"):
                    try:
                        item, end = decoder.raw_decode(text)
                    except ValueError as error:
                        if not more or len(text) > LARGEST_ITEM:
                            raise DataError(f"no JSON ({str(error)[:80]}).", file=path, frame=number) from None
                        break  # its end is in what is yet to be read
                    if end == len(text) and more:
                        break  # a number may go on
                    yield item
                    number += 1
                    text = text[end:].lstrip().removeprefix(",").lstrip()
                if text.startswith("]"):
                    return
                if not more:
                    raise DataError(f"it ends after {number} items, within the list.", file=path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the packed file is damaged after {number} items ({error}).", file=path, hint="Get it again."
        ) from None
    except UnicodeDecodeError:
        raise DataError("the file is not text; expected JSON.", file=path) from None
