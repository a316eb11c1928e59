"""What the pages name is there: files, headings, functions, commands, variables, limits."""

from __future__ import annotations

import ast
import dataclasses
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import rag_grpc
from rag_client.cli.app import app as ragctl
from rag_grpc.core.limits import Limits
from rag_grpc.environment import variable
from rag_grpc.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
_LISTED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=False,
).stdout.split()
PAGES = [ROOT / name for name in _LISTED] or [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
ROOMS = (ROOT, ROOT / "rag_grpc", ROOT / "clients/python")
"""Where a path in a page may begin."""
SOURCES = [
    path
    for folder in ("rag_grpc", "clients/python/rag_client", "tools", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
]
NOT_SETTINGS = {"RAG_KILLS", "RAG_ROUNDS", "RAG_SOAK", "RAG_STOER"}
"""Variables of the tests, and the slip of the pen that docs/settings.md shows."""

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[tuple[str, str]]:
    """The links of a page that lead into the project: text and target."""
    found = re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", prose(page))
    return [(text, target) for text, target in found if not re.match(r"[a-z]+:", target)]


def slug(heading: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def code(page: Path) -> list[str]:
    """What stands in a page as code: in a line, and the lines of its blocks."""
    whole = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:sh|console)?\n(.*?)^```$", whole, flags=re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.split("\n")]
    return [*re.findall(r"`([^`\n]+)`", prose(page)), *lines]


@cache
def names_in(path: Path) -> frozenset[str]:
    """Everything that a module defines, methods as Class.method."""
    found: set[str] = set()

    def look(nodes: list[ast.stmt], prefix: str) -> None:
        for node in nodes:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    look(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(prefix + each.id for each in targets if isinstance(each, ast.Name))

    look(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return frozenset(found)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    for text, target in links(page):
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"[{text}]({target})"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", prose(there), flags=re.MULTILINE)
            assert anchor in map(slug, headings), f"[{text}]({target})"


@pages
def test_names_that_link_to_a_module_are_defined_there(page: Path) -> None:
    for text, target in links(page):
        name = text.strip("`")
        if target.endswith(".py") and text.startswith("`") and not name.endswith(".py"):
            assert name in names_in((page.parent / target).resolve()), f"[{text}]({target})"


def test_the_tour_names_enough_to_be_a_tour() -> None:
    named = [text for text, target in links(ROOT / "docs/tour.md") if target.endswith(".py")]
    assert len(set(named)) > 50


@pages
def test_paths_exist(page: Path) -> None:
    made = re.compile(r"\.venv|rag-data|proto/released|docs/guide|<|\*|^/")
    for text in code(page):
        if re.fullmatch(r"[\w.\-]+(/[\w.\-]+)*/?", text) and not made.search(text):
            if re.search(r"/.*\.(py|sh|proto|md|yaml|toml)$|^[\w.\-]+/[\w./\-]*/$", text):
                assert any((room / text).exists() for room in ROOMS), text
            elif re.fullmatch(r"\w+\.py", text):
                assert any(path.name == text for path in SOURCES), text


@pages
def test_module_members_exist(page: Path) -> None:
    if page.name == "fields.md":
        return  # its dotted names are paths of fields
    modules: dict[str, list[Path]] = {}
    for path in SOURCES:
        modules.setdefault(path.stem, []).append(path)
    for text in code(page):
        found = re.fullmatch(r"([a-z_]+)\.([A-Za-z_]\w*(?:\.\w+)*)", text)
        if found and found[1] in modules and found[2] not in {"py", "md", "yaml", "proto"}:
            assert any(found[2] in names_in(path) for path in modules[found[1]]), text


@pages
def test_make_words_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for text in code(page):
        if text.startswith("make "):
            words = [word for word in shlex.split(text, comments=True)[1:] if "=" not in word]
            assert set(words) <= targets, text


@pages
def test_ragctl_commands_exist(page: Path) -> None:
    for text in code(page):
        called = re.match(r"(?:\.venv/bin/)?ragctl\s+([^|>]*)", text)
        if called and "..." not in text:
            assert_ragctl_knows(shlex.split(called[1], comments=True))


def assert_ragctl_knows(words: list[str]) -> None:
    command: Any = get_command(ragctl)
    known = {"--help", "--version", "--install-completion", "--show-completion"}
    for word in words:
        if hasattr(command, "commands") and not word.startswith("-"):
            assert word in command.commands, words
            command = command.commands[word]
        known |= {option for parameter in command.params for option in parameter.opts}
        assert not word.startswith("-") or word in known, words


@pages
def test_variables_exist(page: Path) -> None:
    known = {variable(field) for field in dataclasses.fields(Settings)} | NOT_SETTINGS
    known |= {variable(field) + "_FILE" for field in dataclasses.fields(Settings) if field.metadata["secret"]}
    known |= {str(option.envvar) for option in get_command(ragctl).params if getattr(option, "envvar", None)}
    named = set(re.findall(r"\bRAG_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= known


def test_limits_are_those_of_the_code() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| ([\d,]+) \|", (ROOT / "docs/limits.md").read_text(), flags=re.MULTILINE
    )
    assert {name: int(value.replace(",", "")) for name, value in rows} == dataclasses.asdict(Limits())


def test_the_index_lists_every_page() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / target).resolve() for _, target in links(index)}
    assert {*ROOT.glob("docs/*.md"), *DECISIONS} - {index} <= listed


def test_decisions_are_numbered_and_say_why() -> None:
    numbers = [path.name[:4] for path in DECISIONS]
    assert numbers == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    for path in DECISIONS:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_changelog_knows_this_release() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## \[([^\]]+)\]", text, flags=re.MULTILINE)
    assert versions[:2] == ["Unreleased", rag_grpc.__version__]
