"""What --sync deletes, and above all what it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from clients.python.tests.scripted_server import Failure
from rag_client import Document, cli
from rag_client.cli.files import Place, Unread
from rag_client.cli.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clients.python.tests.scripted_server import ScriptedServer

    Run = Callable[..., tuple[int, dict[str, Any], str]]

MISMATCH = Failure(grpc.StatusCode.ABORTED, "REVISION_MISMATCH", "it changed")


@pytest.fixture
def run(
    server: ScriptedServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:
    """Run `ragctl ingest --json` in `tmp_path`: its exit code, its summary, and stderr."""
    monkeypatch.setenv("RAG_SERVER", server.target)
    monkeypatch.chdir(tmp_path)

    def ingest(*arguments: str) -> tuple[int, dict[str, Any], str]:
        code = cli.main(["ingest", "--json", *arguments])
        out, err = capsys.readouterr()
        return int(code), json.loads(out.splitlines()[-1])["summary"] if out else {}, err

    return ingest


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder of three files and a corpus of two lines."""
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.md", "b.txt", "deep/c.md"):
        (folder / name).write_text(f"text of {name}")
    (folder / "lines.jsonl").write_text('{"doc_id":"l1","text":"x"}\n{"doc_id":"l2","text":"y"}\n')
    return folder


ALL = {"docs/a.md", "docs/b.txt", "docs/deep/c.md", "l1", "l2"}


def test_what_vanished_is_deleted_and_nothing_else(run: Run, server: ScriptedServer, docs: Path) -> None:
    server.documents["docs/by-hand.md"] = Document("docs/by-hand.md")
    first = run("docs", "--sync")[1]
    del server.documents["docs/by-hand.md"]
    assert (first["created"], first["deleted"]) == (5, 0)
    (docs / "a.md").unlink()
    (docs / "b.txt").write_text("other")
    (docs / "deep/d.md").write_text("new")
    (docs / "lines.jsonl").write_text('{"doc_id":"l2","text":"y"}\n')
    code, summary, err = run("docs", "--sync")
    assert (code, err) == (0, "")
    counts = {"created": 1, "replaced": 1, "unchanged": 2, "failed": 0, "deleted": 2, "skipped": 0}
    assert counts.items() <= summary.items()
    assert set(server.documents) == {"docs/b.txt", "docs/deep/c.md", "docs/deep/d.md", "l2"}
    assert run("docs", "--sync")[1]["deleted"] == 0


def test_without_sync_nothing_is_deleted(run: Run, server: ScriptedServer, docs: Path) -> None:
    run("docs")
    (docs / "a.md").unlink()
    assert run("docs")[1]["deleted"] == 0
    assert set(server.documents) == ALL
    assert (
        run("docs", "--sync")[1]["deleted"] == 1
    )  # it was ingested without --sync, and is known all the same


@pytest.mark.parametrize(
    "arguments",
    [
        ["docs/deep", "--sync"],
        ["docs", "--sync", "--prefix", "p/"],
        ["docs", "--sync", "--source", "elsewhere"],
        ["docs/b.txt", "--sync"],
    ],
)
def test_what_came_from_elsewhere_stays(
    run: Run, server: ScriptedServer, docs: Path, arguments: list[str]
) -> None:
    run("docs", "--sync")
    (docs / "a.md").unlink()
    (docs / "lines.jsonl").unlink()
    assert run(*arguments)[1]["deleted"] == 0
    assert set(server.documents) >= ALL


def test_the_same_names_from_another_folder_stay(
    run: Run, server: ScriptedServer, docs: Path, tmp_path: Path
) -> None:
    run("docs", "--sync")
    (tmp_path / "other/docs").mkdir(parents=True)
    (tmp_path / "other/docs/z.md").write_text("z")
    assert run("other/docs", "--sync", "--root", "other")[1]["deleted"] == 0
    assert set(server.documents) == {*ALL, "docs/z.md"}


def test_a_named_source_is_the_same_wherever_it_lies(
    run: Run, server: ScriptedServer, docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("docs", "--sync", "--source", "handbook")
    moved = tmp_path / "checkout"
    moved.mkdir()
    docs.rename(moved / "docs")
    (moved / "docs/a.md").unlink()
    monkeypatch.chdir(moved)
    summary = run("docs", "--sync", "--source", "handbook")[1]
    assert (summary["unchanged"], summary["deleted"]) == (4, 1)
    assert set(server.documents) == ALL - {"docs/a.md"}


def test_a_file_that_cannot_be_read_keeps_its_documents(
    run: Run, server: ScriptedServer, docs: Path, tmp_path: Path
) -> None:
    (docs / "n.md").write_text("n")
    run("docs", "--sync")
    (docs / "a.md").write_bytes(b"\xff\xff")  # skipped: no text any more
    (docs / "b.txt").write_text(" ")
    (docs / "n.md").unlink()
    (docs / "lines.jsonl").write_text('{"doc_id":"l2","text":"y"}\nbroken\n')
    code, summary, _ = run("docs", "--sync")
    assert (code, summary["failed"], summary["skipped"], summary["deleted"]) == (1, 1, 2, 1)
    assert [each["name"] for each in summary["failures"]] == ["docs/lines.jsonl:2"]
    assert set(server.documents) == ALL


def test_a_folder_that_cannot_be_listed_keeps_its_documents() -> None:
    """Root may list every folder, so the walk's report is told here."""
    sync = Sync({"docs": Place("s", "docs")})
    files = {"path": "docs/deep/c.md", "source": "s"}
    stored = [
        Document("docs/deep/c.md", metadata={"file": files}),
        Document("docs/deeper.md", metadata={"file": {**files, "path": "docs/deeper.md"}}),
    ]
    sync.unread(Unread("docs/deep", "Permission denied", "failed", Place("s", "docs/deep")))
    gone, doubtful = sync.vanished(stored)
    assert [each.doc_id for each in gone] == ["docs/deeper.md"]
    assert doubtful == {"docs": 1}


def test_metadata_of_others_are_no_mark() -> None:
    sync = Sync({".": Place("s", ".")})
    for metadata in ({}, {"file": "a.md"}, {"file": {"path": 7, "source": "s"}}, {"file": {"path": "a"}}):
        assert sync.vanished([Document("a", metadata=metadata)]) == ([], {})


def test_an_empty_folder_deletes_only_with_a_yes(run: Run, server: ScriptedServer, docs: Path) -> None:
    (docs.parent / "more").mkdir()
    (docs.parent / "more/m.md").write_text("m")
    run("docs", "more", "--sync")
    for path in docs.rglob("*.*"):
        path.unlink()
    code, summary, err = run("docs", "more", "--sync")
    assert (code, summary["deleted"], set(server.documents)) == (2, 0, {*ALL, "more/m.md"})
    assert "say --yes" in err
    code, summary, _ = run("docs", "more", "--sync", "--yes")
    assert (code, summary["deleted"], set(server.documents)) == (0, 5, {"more/m.md"})


def test_a_missing_folder_deletes_only_with_a_yes(run: Run, server: ScriptedServer, docs: Path) -> None:
    run("docs", "--sync")
    docs.rename(docs.parent / "away")
    code, summary, err = run("docs", "--sync")
    assert (code, summary, set(server.documents)) == (2, {}, ALL)
    assert "no such file or folder; --yes" in " ".join(err.replace("│", " ").split())
    assert run("docs", "--sync", "--yes")[1]["deleted"] == 5
    assert server.documents == {}


def test_a_dry_run_says_what_would_happen_and_does_nothing(
    run: Run, server: ScriptedServer, docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("docs", "--sync")
    (docs / "a.md").unlink()
    (docs / "b.txt").write_text("other")
    (docs / "new.md").write_text("new")
    (docs / "lines.jsonl").write_text('{"doc_id":"l1","text":"x"}\n{"doc_id":"n","metadata":{"n":1e999}}\n')
    before = dict(server.documents)
    code, summary, _ = run("docs", "--sync", "--dry-run")
    counts = {"created": 1, "replaced": 1, "unchanged": 2, "failed": 1, "deleted": 2, "dry_run": True}
    assert code == 1
    assert counts.items() <= summary.items()
    assert server.documents == before
    cli.main(["ingest", "docs", "--sync", "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["replaced  docs/b.txt", "unchanged  l1"]
    assert "deleted  docs/a.md" in lines
    assert lines[-1] == "5 documents, nothing sent: 1 created, 1 replaced, 2 unchanged, 1 failed, 2 deleted"
    assert server.documents == before


def test_a_dry_run_knows_a_collection_that_is_missing(run: Run, server: ScriptedServer, docs: Path) -> None:
    missing = Failure(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", "no such collection")
    server.fail("GetCollection", missing, missing)
    arguments = ["docs", "--sync", "--dry-run", "-c", "notes"]
    code, summary, _ = run(*arguments, "--create")
    assert (code, summary["created"], server.documents) == (0, 5, {})
    code, summary, err = run(*arguments)
    assert (code, summary["created"]) == (3, 0)
    assert "COLLECTION_NOT_FOUND" in err


def test_a_document_that_changed_meanwhile_is_not_deleted(
    run: Run, server: ScriptedServer, docs: Path
) -> None:
    run("docs", "--sync")
    (docs / "a.md").unlink()
    (docs / "b.txt").unlink()
    server.fail("DeleteDocuments", MISMATCH, MISMATCH)  # both at once, and then the first of them
    code, summary, _ = run("docs", "--sync")
    assert (code, summary["deleted"], summary["failed"]) == (1, 1, 1)
    assert set(server.documents) == ALL - {"docs/b.txt"}
    assert {ref.expected_revision for ref in server.requests[-1].documents} == {0}


def test_nothing_is_deleted_where_the_ingest_broke_off(run: Run, server: ScriptedServer, docs: Path) -> None:
    run("docs", "--sync")
    (docs / "a.md").unlink()

    def denied(_messages: Any, context: Any) -> Any:
        Failure(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED").abort(context)
        yield

    server.stream_scripts.append(denied)
    code, summary, _ = run("docs", "--sync")
    assert (code, summary["deleted"], set(server.documents)) == (5, 0, ALL)


def test_a_line_with_a_key_of_ragctls_own_fails_under_sync_alone(run: Run, docs: Path) -> None:
    (docs / "lines.jsonl").write_text('{"doc_id":"l1","text":"x","metadata":{"file":"mine"}}\n')
    assert run("docs/lines.jsonl")[:1] == (0,)
    code, summary, _ = run("docs/lines.jsonl", "--sync")
    assert (code, summary["failed"]) == (1, 1)


@pytest.mark.parametrize("arguments", [["docs/*.md", "--sync"], ["docs", "--yes"]])
def test_options_that_mean_nothing_are_refused(
    run: Run, server: ScriptedServer, docs: Path, arguments: list[str]
) -> None:
    code, summary, err = run(*arguments)
    assert (code, summary, server.requests) == (2, {}, [])
    assert err
