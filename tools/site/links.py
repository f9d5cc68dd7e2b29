"""Where a link of a page goes on the site: pages, reference, or the text of a file.

Pages are written for readers of the repository: they link files by their place in it. On the site
README.md is the first page, a module of hwsim is in the reference, and any other file of the
repository that a page links becomes a page of its own that shows the file.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Pages of the site that stand outside docs/: path in the repository -> path on the site.
MOUNTED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "findings/README.md": "findings.md",
}
LINK = re.compile(r"(?<=\]\()([^)#\s]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
#: Folders at the top level that are packages of hwsim.
PACKAGES = ("attacks", "models")
LANGUAGES = {".py": "python", ".toml": "toml", ".v": "verilog", ".vh": "verilog", ".sh": "sh"}


def page_of(path: str) -> str:
    """Site path of a file of the repository.

    Parameters
    ----------
    path
        Relative to the repository, with forward slashes.

    Returns
    -------
    str
        Relative to the site's root; ends in ``.md`` for everything that becomes a page. A module
        gets the page of its room, with its own name as the anchor.
    """
    if path in MOUNTED:
        return MOUNTED[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    parts = Path(path).with_suffix("").parts
    if parts[0] in PACKAGES:
        parts = ("hwsim", *parts)
    if path.endswith(".py") and parts[0] == "hwsim" and parts[1] not in ("cli", "commands"):
        *room, module = parts
        page = f"reference/{'.'.join(room)}.md"
        return page if module == "__init__" else f"{page}#{'.'.join(parts)}"
    return f"source/{path}.md"


def targets(text: str, place: str) -> list[str]:
    """Files and folders of the repository that a page links.

    Parameters
    ----------
    text
        The page's Markdown.
    place
        Its path in the repository.

    Returns
    -------
    list of str
        Paths in the repository of what exists there, in order; fenced code holds no links.
    """
    found = [_target(match[1], place) for match in LINK.finditer(FENCE.sub("", text))]
    return [path for path in found if path]


def _target(link: str, place: str) -> str:
    """Path in the repository that a link means; "" for a URL and for what does not exist."""
    if "://" in link or link.startswith("mailto:"):
        return ""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), link))
    return path if not path.startswith("..") and (ROOT / path).exists() else ""


def for_site(text: str, place: str, page: str) -> str:
    """Markdown whose links lead where things are on the site.

    Parameters
    ----------
    text
        The page's Markdown.
    place, page
        Its path in the repository, and on the site.

    Returns
    -------
    str
        The same with other targets. A link to what does not exist stays, for the check to find.
    """

    def moved(match: re.Match[str]) -> str:
        path = _target(match[1], place)
        if not path:
            return match[0]
        site, _, anchor = page_of(path).partition("#")
        end = match[2] or (f"#{anchor}" if anchor else "")
        return posixpath.relpath(site, posixpath.dirname(page) or ".") + end

    pieces, start = [], 0
    for fence in FENCE.finditer(text):
        pieces += [LINK.sub(moved, text[start : fence.start()]), fence[0]]
        start = fence.end()
    return "".join([*pieces, LINK.sub(moved, text[start:])])


def shown(path: str) -> str:
    """A page that shows a file of the repository, or lists a folder."""
    place = ROOT / path
    if place.is_dir():
        names = sorted(child.name for child in place.iterdir() if not child.name.startswith("."))
        return "\n".join([f"# {path}/", "", *(f"- `{name}`" for name in names if name[0] != "_")])
    text = place.read_text(encoding="utf-8")
    return f"# {path}\n\n```{LANGUAGES.get(place.suffix, 'text')}\n{text}\n```\n"
