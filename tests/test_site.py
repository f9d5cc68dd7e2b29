"""`make docs`: the site builds strictly, every link leads somewhere, and nothing is fetched."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import hwsim
from tests.once import once
from tests.pages import ROOT
from tools.draw import rooms
from tools.site import links

pytest.importorskip("mkdocs", reason="mkdocs is not installed: make test installs it")
from tools.site import reference


class Html(HTMLParser):
    """What a page links, what it loads, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.anchors.add(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("img", "script") and "src" in values:
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") != "canonical":
            self.loads.append(values["href"])


def built(folder: Path) -> None:
    """The site, as `make docs` builds it."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict",
         "-f", "tools/site/mkdocs.yml", "-d", str(folder)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not done.stderr.strip(), done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Html]:
    """The pages of the site."""
    folder = once(tmp_path_factory, "site", built)
    return {path: Html(path) for path in folder.rglob("*.html") if path.name != "404.html"}


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site: dict[Path, Html]) -> None:
    for path, page in site.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            place = (path.parent / unquote(target)).resolve() if target else path
            assert place.exists(), f"{path.name}: {link}"
            if anchor and place in site and anchor != "__skip":
                assert unquote(anchor) in site[place].anchors, f"{path.name}: {link}"


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site: dict[Path, Html]) -> None:
    for path, page in site.items():
        for load in page.loads:
            assert not re.match(r"(https?:)?//", load), f"{path.name}: {load}"
            assert (path.parent / load.partition("?")[0]).exists(), f"{path.name}: {load}"


@pytest.mark.slow
def test_the_reference_has_every_room_under_its_import_name(site: dict[Path, Html]) -> None:
    pages = {path.stem: page for path, page in site.items() if path.parent.name == "reference"}
    assert set(reference.rooms()) <= set(pages)
    for home, name in (
        ("hwsim.engine", "hwsim.engine.module.Engine"),
        ("hwsim.attacks", "hwsim.attacks.fgsm.FGSM"),
        ("hwsim.models", "hwsim.models.layers.compress"),
    ):
        assert name in pages[home].anchors


def test_every_module_is_in_the_reference() -> None:
    for room, modules in reference.rooms().items():
        place = ROOT / room.replace(".", "/")
        files = {path.stem for path in place.glob("*.py")} - {"__init__", "cli"}
        assert {module.rpartition(".")[2] for module in modules} == files


def test_links_lead_where_things_are_on_the_site() -> None:
    text = "[a](../README.md) [b](../hwsim/rom/image.py) [c](../configs/tiny.toml) [d](x.md#y)"
    assert links.for_site(text, "docs/rtl.md", "rtl.md") == (
        "[a](index.md) [b](reference/hwsim.rom.md#hwsim.rom.image) "
        "[c](source/configs/tiny.toml.md) [d](x.md#y)"
    )
    assert links.page_of("attacks/core/__init__.py") == "reference/hwsim.attacks.core.md"
    assert links.for_site("[a](docs/rtl.md#b)", "README.md", "index.md") == "[a](rtl.md#b)"
    fenced = "```python\nx[0](rtl.md)\n```\n"
    assert links.for_site(fenced, "docs/audit.md", "howto/audit.md") == fenced


def test_the_picture_of_the_rooms_is_current() -> None:
    kept = (ROOT / "docs/img/rooms.svg").read_text(encoding="utf-8")
    assert str(rooms.draw()) == kept, "run `make drawings`"


def test_the_picture_shows_every_room() -> None:
    shown = {room.name for row in rooms.layers() for room in row}
    there = {path.stem for path in (ROOT / "hwsim").iterdir() if path.name[0] != "_"}
    assert shown == there - {"configs"}


def test_every_folder_of_the_map_is_there_and_every_folder_is_on_it() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    kept = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    mapped = set(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE))
    assert all((ROOT / folder).is_dir() for folder in mapped)
    folders = {path.partition("/")[0] for path in kept.stdout.splitlines() if "/" in path}
    assert {folder for folder in folders if folder[0] != "."} <= mapped


def test_the_citation_names_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {hwsim.__version__}\n" in text
    for key in ("cff-version", "message", "title", "authors", "license"):
        assert re.search(rf"^{key}:", text, re.MULTILINE), key


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]\n" in text
    assert re.search(
        rf"^## {re.escape(hwsim.__version__)} - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE
    )


def test_every_finding_is_listed_is_short_and_says_its_versions() -> None:
    listed = (ROOT / "findings/README.md").read_text(encoding="utf-8")
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    assert scripts
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert f"({script.name})" in listed
        assert len(text.splitlines()) <= 80
        assert "\n# Versions: " in text
        assert "import hwsim" not in text
        assert "mktemp -d" in text
        assert os.access(script, os.X_OK)
