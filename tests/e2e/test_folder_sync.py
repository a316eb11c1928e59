"""A folder of real files of every kind through ragctl, twice, and then kept in step: the summary is right."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rag_grpc.app import RunningServer
from tests.e2e.programs import run
from tests.e2e.real_files import pdf, word

pytestmark = pytest.mark.slow

BROKEN = pdf(["A page that nobody will read."])[:200]
HIVES = ("blue", "green", "old", "new")
PDF = pdf(
    ["Beekeeping Weekly\nSwarms leave in May, when the colony gets crow-\nded.\n1"]
    + [f"Beekeeping Weekly\nNotes on the {hive} hive.\n{2 + n}" for n, hive in enumerate(HIVES)],
    {"Title": "Bees", "Author": "Ada", "CreationDate": "D:20240102030405Z"},
)
WORD = word(
    [
        ("Title", "Office handbook"),
        ("Heading 1", "Holidays"),
        ("Normal", "Thirty days a year, asked for a month ahead. " * 25),
        ("Heading 1", "Travel"),
        ("List Bullet", "Trains are booked by the front desk. " * 30),
    ],
    table=[["city", "price"], ["Bern", "120"]],
)
RST = f"""\
==========
The engine
==========

{"Nobody knows how it came here. " * 40}

Starting
========

{"Pull the choke, then turn :ref:`the key <key>`. " * 40}
"""
MARKDOWN = """\
---
title: Baking bread
tags: [bread, oven]
date: 2024-03-01
---

# Dough

Knead the dough for ten minutes.
"""
HTML = (
    "<html><head><title>Chess</title></head><body><h1>Openings</h1><p>Move the king's pawn.</p></body></html>"
)
FILES: dict[str, bytes | str] = {
    "bees.pdf": PDF,
    "office.docx": WORD,
    "manual/engine.rst": RST,
    "bread.md": MARKDOWN,
    "chess.html": HTML,
    "plain.txt": "Tides follow the moon.",
    "faq.jsonl": '{"doc_id":"faq/1","text":"Where is the key?"}\n{"doc_id":"faq/2","text":"Who has it?"}\n',
    "old.jsonl.gz": gzip.compress(b'{"doc_id":"old/1","text":"Once upon a time."}\n'),
    "broken.pdf": BROKEN,
    "scanned.pdf": pdf(["", ""]),
    "picture.png": b"\x89PNG\r\n\x1a\n",
    "empty.md": "",
}
DOCUMENTS = {
    *("folder/bees.pdf", "folder/office.docx", "folder/manual/engine.rst", "folder/bread.md"),
    *("folder/chess.html", "folder/plain.txt", "faq/1", "faq/2", "old/1"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        write(tmp_path / "folder" / name, content)
    return tmp_path / "folder"


def write(path: Path, content: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def move(path: Path, there: Path) -> None:
    path.rename(there)


class Ragctl:
    """Runs ragctl against a server."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server

    async def __call__(self, *arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
        """Run a command and give its JSON lines."""
        command, *rest = map(str, arguments)
        ended = await run("ragctl", command, "--server", self._server.grpc_address, "--json", *rest)
        assert ended.code == code, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    async def ingest(self, *arguments: str | Path, code: int = 1) -> dict[str, int]:
        """Ingest, and give the counts of the summary; the names of what failed in `failed`."""
        *lines, last = await self("ingest", *arguments, code=code)
        summary = last["summary"]
        names = sorted(Path(each["name"]).name for each in summary["failures"])
        assert len(names) == summary["failed"]
        statuses = [line["status"] for line in lines]
        for status in ("created", "replaced", "unchanged", "deleted"):
            assert statuses.count(status) == summary[status], "each document is told as well as counted"
        return {**{key: summary[key] for key in COUNTED}, "failed": names}

    async def documents(self) -> dict[str, dict[str, Any]]:
        return {each["doc_id"]: each for each in await self("list", "--text")}

    async def found(self, question: str) -> str:
        (answer,) = await self("query", question, "--mode", "dense", "-k", "1")
        return str(answer["hits"][0]["doc_id"])


COUNTED = ("created", "replaced", "unchanged", "deleted", "skipped")
BAD = ["broken.pdf", "scanned.pdf"]


def counts(*, failed: list[str] | None = None, **given: int) -> dict[str, Any]:
    return {**dict.fromkeys(COUNTED, 0), "skipped": 2, **given, "failed": BAD if failed is None else failed}


@pytest.fixture
def ragctl(server: RunningServer) -> Ragctl:
    return Ragctl(server)


def embedded_texts(server: RunningServer) -> float:
    """How many texts the server's embedders were given so far."""
    return server.registry.get_sample_value("rag_batch_items_sum", {"kind": "embed"}) or 0.0


async def test_a_folder_of_every_kind_is_kept_in_step(
    ragctl: Ragctl, server: RunningServer, folder: Path
) -> None:
    assert await ragctl.ingest(folder, "--sync") == counts(created=9)
    assert set(await ragctl.documents()) == DOCUMENTS
    before = embedded_texts(server)
    assert await ragctl.ingest(folder, "--sync") == counts(unchanged=9)
    assert embedded_texts(server) == before

    write(folder / "bees.pdf", pdf(["Nothing but wasps now."]))  # changed
    write(folder / "office.docx", BROKEN)  # broken: keeps its document
    write(folder / "broken.pdf", PDF)  # mended
    write(folder / "faq.jsonl", '{"doc_id":"faq/2","text":"Who has it?"}\n')  # one line less
    move(folder / "manual", folder / "guide")
    (folder / "bread.md").unlink()
    (folder / "old.jsonl.gz").unlink()
    (folder / "scanned.pdf").unlink()
    os.utime(folder / "plain.txt", (1_700_000_000, 1_700_000_000))  # touched

    wanted = counts(created=2, replaced=2, unchanged=2, deleted=4, failed=["office.docx"])
    assert await ragctl.ingest(folder, "--sync", "--dry-run") == wanted
    assert set(await ragctl.documents()) == DOCUMENTS
    assert await ragctl.ingest(folder, "--sync") == wanted
    gone = {"folder/manual/engine.rst", "folder/bread.md", "faq/1", "old/1"}
    left = (DOCUMENTS - gone) | {"folder/broken.pdf", "folder/guide/engine.rst"}
    assert set(await ragctl.documents()) == left
    assert await ragctl.found("Nothing but wasps now.") == "folder/bees.pdf"
    again = counts(unchanged=6, failed=["office.docx"])
    assert await ragctl.ingest(folder, "--sync") == again
    assert set(await ragctl.documents()) == left


async def test_each_kind_arrives_with_its_text_and_what_is_known_of_it(ragctl: Ragctl, folder: Path) -> None:
    await ragctl.ingest(folder)
    stored = await ragctl.documents()
    assert {doc_id: stored[doc_id]["title"] for doc_id in DOCUMENTS if doc_id.startswith("folder/")} == {
        "folder/bees.pdf": "Bees",
        "folder/office.docx": "Office handbook",
        "folder/manual/engine.rst": "The engine",
        "folder/bread.md": "Baking bread",
        "folder/chess.html": "Chess",
        "folder/plain.txt": "plain.txt",
    }
    bees = stored["folder/bees.pdf"]
    assert bees["text"].startswith(
        "Swarms leave in May, when the colony gets crowded\n.\n\nNotes on the blue hive."
    )
    assert "Weekly" not in bees["text"]
    assert bees["metadata"] == {
        "author": "Ada",
        "created_time": "2024-01-02T03:04:05Z",
        "page_count": 5,
        "file": {
            "path": "folder/bees.pdf",
            "source": folder.parent.as_posix(),
            "size": len(PDF),
            "modified_time": bees["metadata"]["file"]["modified_time"],
            "media_type": "application/pdf",
        },
    }
    bread = stored["folder/bread.md"]["metadata"]
    assert (bread["tags"], bread["date"]) == (["bread", "oven"], "2024-03-01T00:00:00Z")
    assert stored["faq/1"]["metadata"] == {}
    for doc_id, heading in (("folder/office.docx", "Travel"), ("folder/manual/engine.rst", "Starting")):
        chunks = await ragctl("get", doc_id, "--chunks")
        assert any(heading in chunk["headings"] for chunk in chunks), doc_id


async def test_filters_know_what_came_with_the_files(ragctl: Ragctl, folder: Path) -> None:
    await ragctl.ingest(folder)
    for matched, doc_id in (
        ('file.media_type = "application/pdf" AND page_count > 4', "folder/bees.pdf"),
        ('date < "2024-02-29T23:00:00-02:00"', "folder/bread.md"),  # by time; by its letters it is later
        ('tags:"oven"', "folder/bread.md"),
    ):
        assert [each["doc_id"] for each in await ragctl("list", "--filter", matched)] == [doc_id], matched


async def test_an_empty_folder_deletes_nothing_unless_somebody_says_so(
    ragctl: Ragctl, server: RunningServer, folder: Path
) -> None:
    await ragctl.ingest(folder, "--sync")
    move(folder, folder.parent / "away")
    assert await ragctl("ingest", folder, "--sync", code=2) == []
    write(folder / ".keep", "hidden")
    (refusal,) = await ragctl("ingest", folder, "--sync", code=2)
    assert refusal["summary"]["deleted"] == 0
    assert set(await ragctl.documents()) == DOCUMENTS
    emptied = await ragctl.ingest(folder, "--sync", "--yes", code=0)
    assert emptied == counts(deleted=9, skipped=0, failed=[])
    assert await ragctl.documents() == {}


async def test_metadata_are_updated_from_the_shell(ragctl: Ragctl, folder: Path) -> None:
    await ragctl.ingest(folder / "bread.md", "--prefix", "folder/", code=0)
    (updated,) = await ragctl("update-metadata", "folder/bread.md", "stars=5", "tags=null")
    assert updated["metadata"]["stars"] == 5
    assert set(updated["metadata"]) == {"date", "file", "stars"}
    (replaced,) = await ragctl("update-metadata", "folder/bread.md", "only=this", "--replace")
    assert replaced["metadata"] == {"only": "this"}
    assert await ragctl("update-metadata", "nobody", "a=1", code=3) == []
