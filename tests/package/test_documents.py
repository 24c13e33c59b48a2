"""The documents hold together: links lead somewhere, files that they name exist, decisions have one form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

SECTIONS = ["Decision", "Why", "Instead of", "Cost"]
MAX_LINES = 40

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
# "**Why.** Because", and "**Instead of** that", whose words go on.
SECTION = re.compile(r"^\*\*([^*]+?)\.?\*\*", re.MULTILINE)
NAMED_FILE = re.compile(r"`([\w./-]+\.(?:cc|h|inc|py|md|sh))`")
SOURCES = ("csrc", "torch_ring", "harness", "benchmarks", "tests", "scripts", "examples", "docs")


def prose(document: Path) -> str:
    return FENCED.sub("", document.read_text())


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(document: Path) -> list[str]:
    dead = []
    for link in LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue  # not a file of this project
        name, _, anchor = link.partition("#")
        target = (document.parent / name).resolve() if name else document
        if (
            not target.is_relative_to(ROOT)
            or not target.exists()
            or (anchor and anchor not in anchors(target))
        ):
            dead.append(link)
    return dead


def decision_faults(text: str) -> list[str]:
    lines = text.splitlines()
    faults = [] if lines and lines[0].startswith("# ") else ["it begins with no title"]
    if len(lines) > MAX_LINES:
        faults.append(f"{len(lines)} lines are more than {MAX_LINES}: figures belong in docs/measurements")
    if (found := SECTION.findall(text)) != SECTIONS:
        faults.append(f"its sections are {found}, not {SECTIONS}")
    return faults


def test_there_are_documents() -> None:
    assert len(DECISIONS) >= 13
    assert set(DECISIONS) < set(DOCUMENTS)
    assert sum(len(LINK.findall(prose(document))) for document in DOCUMENTS) > 20


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_to_something(document: Path) -> None:
    assert dead_links(document) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "# A title: here\n[none](none.md) [outside](..) [web](https://a.b/c)\n```\n[code](code)\n```\n"
    )
    assert dead_links(document) == ["none.md", ".."]
    assert anchors(document) == {"a-title-here"}


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_has_its_form(decision: Path) -> None:
    assert decision_faults(decision.read_text()) == []


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("# T\n\n**Decision.** a\n\n**Why.** b\n\n**Instead of** c\n\n**Cost.** d\n", 0),
        ("# T\n\n**Why.** b\n\n**Decision.** a\n\n**Instead of** c\n\n**Cost.** d\n", 1),
        ("# T\n\n**Decision.** a\n\n**Why.** b\n\n**Cost.** d\n", 1),
        ("**Decision.** a\n**Why.** b\n**Instead of** c\n**Cost.** d\n**How.** e\n", 2),
        ("# T\n" + "a\n" * 36 + "**Decision.** a\n**Why.** b\n**Instead of** c\n**Cost.** d\n", 1),
        ("", 2),
    ],
)
def test_another_form_is_found(text: str, faults: int) -> None:
    assert len(decision_faults(text)) == faults


def source_files() -> list[str]:
    files = [path for folder in SOURCES for path in (ROOT / folder).rglob("*")] + [*ROOT.iterdir()]
    return [f"/{path.relative_to(ROOT)}" for path in files]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(document: Path) -> None:
    """By the end of their path, as after the name of a folder that is known."""
    files = source_files()
    names = set(NAMED_FILE.findall(prose(document)))
    assert {name for name in names if not any(file.endswith(f"/{name}") for file in files)} == set()
