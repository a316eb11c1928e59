"""Memory, migrations, health of writes: parts that fit on a page."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from rag_grpc.core.errors import NotConfigured
from rag_grpc.stores.embedded.database import PAGE_SIZE, last_seq, open_reader, open_writer
from rag_grpc.stores.embedded.memory import available_bytes
from rag_grpc.stores.embedded.migrations import MIGRATIONS, first_id, migrate
from rag_grpc.stores.embedded.write_health import WriteHealth

MEMINFO = "MemTotal:       16000 kB\nMemFree:        1000 kB\nMemAvailable:   8000 kB\n"


@pytest.mark.parametrize(
    ("meminfo", "limit", "used", "available"),
    [
        (MEMINFO, None, None, 8000 * 1024),
        (MEMINFO, "max", "5", 8000 * 1024),
        (MEMINFO, "1000000", "400000", 600_000),
        (MEMINFO, "1000", "4000", 0),
        (MEMINFO, "99999999999", "1", 8000 * 1024),
        ("MemTotal: 1 kB\n", "3000", "1000", 2000),
        (None, "3000", "1000", 2000),
        (None, "not a number", "1000", None),
        (None, None, None, None),
    ],
)
def test_the_smaller_of_machine_and_control_group_counts(
    tmp_path: Path, meminfo: str | None, limit: str | None, used: str | None, available: int | None
) -> None:
    files = {"meminfo": meminfo, "memory.max": limit, "memory.current": used}
    for name, content in files.items():
        if content is not None:
            (tmp_path / name).write_text(content)
    assert available_bytes(tmp_path / "meminfo", tmp_path) == available


def test_this_machine_says_something() -> None:
    available = available_bytes()
    assert available is None or available >= 0


def test_a_schema_is_made_once(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "db")
    assert migrate(connection) == len(MIGRATIONS)
    assert connection.pragma("user_version") == len(MIGRATIONS)
    assert last_seq(connection) == 0
    connection.execute("UPDATE counter SET value = 5 WHERE name = 'seq'")
    connection.close()
    connection = open_writer(tmp_path / "db")
    assert last_seq(connection) == 5
    connection.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "db")
    connection.pragma("user_version", len(MIGRATIONS) + 1)
    connection.close()
    with pytest.raises(NotConfigured, match=f"schema {len(MIGRATIONS) + 1}, this release knows"):
        open_writer(tmp_path / "db")


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "db"))
    other.execute("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)")
    other.close()
    before = (tmp_path / "db").read_bytes()
    with pytest.raises(NotConfigured, match="belongs to another program"):
        open_writer(tmp_path / "db")
    assert (tmp_path / "db").read_bytes() == before


def test_pages_have_the_size_that_was_measured(tmp_path: Path) -> None:
    connection = open_writer(tmp_path / "db")
    assert connection.pragma("page_size") == PAGE_SIZE
    connection.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(connection: apsw.Connection) -> None:
        connection.execute("CREATE TABLE half (a)")
        connection.execute("SELECT * FROM nowhere")

    connection = open_writer(tmp_path / "db")
    monkeypatch.setattr("rag_grpc.stores.embedded.migrations.MIGRATIONS", (*MIGRATIONS, fails))
    with pytest.raises(apsw.SQLError):
        migrate(connection)
    assert connection.pragma("user_version") == len(MIGRATIONS)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").get == 0
    connection.close()


def test_the_database_is_durable_and_readers_cannot_write(tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "db")
    full = 2
    assert (writer.pragma("journal_mode"), writer.pragma("synchronous")) == ("wal", full)
    reader = open_reader(tmp_path / "db")
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM counter")
    reader.close()
    writer.close()


def test_ids_of_collections_do_not_meet() -> None:
    assert first_id(1) == 2**40
    assert first_id(3) - first_id(2) == 2**40
    assert first_id(2**22) < 2**63


def test_the_complaint_of_one_outlives_the_recovery_of_another() -> None:
    told: list[str] = []
    health = WriteHealth(told.append)
    health.tell("disk", "it is full")
    health.tell("database", "it failed")
    health.tell("database", "")
    assert told == ["it is full"]
    health.tell("disk", "")
    health.tell("disk", "")
    assert told == ["it is full", ""]
    health.tell("database", "it failed")
    health.tell("disk", "it is full")
    health.tell("database", "")
    assert told == ["it is full", "", "it failed", "it is full"]
