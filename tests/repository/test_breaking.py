"""The guard of the contract: a change that breaks callers is refused, others are not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUF = Path(sys.executable).with_name("buf")
FIELD = "string doc_id = "


def git(where: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", where, *identity, *arguments], check=True, capture_output=True)


def commit(where: Path) -> None:
    git(where, "add", "--all")
    git(where, "commit", "--quiet", "--message", "A change")


def check(where: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [where / "tools/check_breaking.sh", *arguments],
        env={**os.environ, "BUF": str(BUF)},
        capture_output=True,
        text=True,
        check=False,
    )


def edit(where: Path, old: str, new: str) -> None:
    changed = 0
    for path in sorted((where / "proto").rglob("*.proto")):
        text = path.read_text(encoding="utf-8")
        changed += text.count(old)
        path.write_text(text.replace(old, new), encoding="utf-8")
    assert changed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a repository with the contract, its guard, and one commit."""
    where = tmp_path / "project"
    shutil.copytree(ROOT / "proto", where / "proto")
    (where / "tools").mkdir()
    shutil.copy(ROOT / "tools/check_breaking.sh", where / "tools")
    shutil.copy(ROOT / "buf.yaml", where)
    (where / "proto/released.binpb").unlink(missing_ok=True)
    git(where.parent, "init", "--quiet", "project")
    commit(where)
    return where


def test_a_first_commit_breaks_nobody(project: Path) -> None:
    answer = check(project)
    assert answer.returncode == 0
    assert "first commit" in answer.stdout


def test_a_renamed_field_is_refused(project: Path) -> None:
    edit(project, FIELD, "string document_id = ")
    commit(project)
    answer = check(project)
    assert answer.returncode != 0
    assert "doc_id" in answer.stdout + answer.stderr


def test_a_new_comment_is_taken(project: Path) -> None:
    edit(project, FIELD, f"// More of it.\n  {FIELD}")
    commit(project)
    answer = check(project)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_last_release_counts_more_than_the_last_commit(project: Path) -> None:
    subprocess.run([BUF, "build", "--output", "proto/released.binpb"], cwd=project, check=True)
    edit(project, FIELD, "string document_id = ")
    commit(project)
    git(project, "commit", "--quiet", "--allow-empty", "--message", "Another")
    answer = check(project)
    assert answer.returncode != 0
    assert "doc_id" in answer.stdout + answer.stderr


def test_a_shallow_clone_fetches_what_it_compares_with(project: Path, tmp_path: Path) -> None:
    edit(project, FIELD, "string document_id = ")
    commit(project)
    git(tmp_path, "clone", "--quiet", "--depth=1", project.as_uri(), "shallow")
    answer = check(tmp_path / "shallow")
    assert answer.returncode != 0
    assert "doc_id" in answer.stdout + answer.stderr


def test_a_shallow_clone_that_cannot_fetch_says_so(project: Path, tmp_path: Path) -> None:
    commit_again = ["commit", "--quiet", "--allow-empty", "--message", "Another"]
    git(project, *commit_again)
    git(tmp_path, "clone", "--quiet", "--depth=1", project.as_uri(), "shallow")
    git(tmp_path / "shallow", "remote", "remove", "origin")
    answer = check(tmp_path / "shallow")
    assert answer.returncode == 1
    assert "git fetch --deepen=1" in answer.stderr


def test_an_unknown_commit_is_an_error(project: Path) -> None:
    answer = check(project, "no-such-ref")
    assert answer.returncode == 1
    assert "no-such-ref" in answer.stderr
