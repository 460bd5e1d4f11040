"""Check a built site: every link and image of a page leads to a file of the site, and to a place in it.

python docs/check_links.py docs/_build/html
"""

from __future__ import annotations

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """Collects the links of a page, and the places that links can lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.places |= {value for key in ("id", "name") if (value := found.get(key))}
        self.links += [value for key in ("href", "src") if (value := found.get(key))]


@cache
def _page(path: Path) -> _Page:
    return _Page(path)


def broken(site: Path) -> list[str]:
    """Return the links that lead nowhere: page and link."""
    faults = []
    for path in sorted(site.rglob("*.html")):
        for link in _page(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                faults.append(f"{path.relative_to(site)}: {link}: there is no such file")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _page(target).places:
                faults.append(f"{path.relative_to(site)}: {link}: there is no such place")
    return faults


if __name__ == "__main__":
    faults = broken(Path(sys.argv[1]).resolve())
    print("\n".join(faults) or "every link leads somewhere")
    sys.exit(bool(faults))
