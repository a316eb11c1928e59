"""Settings: what is taken, what is refused, and how it is said."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from rag_grpc import environment
from rag_grpc.environment import SettingsFault, read, setting
from rag_grpc.settings import Settings, load


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No .env of the developer's own gets in."""
    monkeypatch.chdir(tmp_path)


def faults(variables: dict[str, str], cls: type[Any] = Settings) -> list[str]:
    with pytest.raises(SettingsFault) as caught:
        read(cls, variables)
    return caught.value.faults


def test_without_any_variable_everything_is_as_documented() -> None:
    settings, unknown = load({})
    assert settings == Settings()
    assert unknown == []
    assert (settings.listen, settings.http_listen) == ("127.0.0.1:50051", "127.0.0.1:8000")
    assert (settings.store, settings.embedders, settings.grace) == ("embedded", ("mock",), 20.0)
    assert settings.max_request_bytes == 16 * 1024 * 1024


def test_settings_never_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().listen = "elsewhere"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("LISTEN", "0.0.0.0:0", "0.0.0.0:0"),
        ("LISTEN", "[::1]:50051", "[::1]:50051"),
        ("LISTEN", "localhost:1", "localhost:1"),
        ("DATA_DIR", "/srv/rag", Path("/srv/rag")),
        ("DATA_DIR", "~/rag", Path.home() / "rag"),
        ("STORE", "Memory", "memory"),
        ("EMBEDDERS", "mock, a=fastembed:/srv/m?x=1", ("mock", "a=fastembed:/srv/m?x=1")),
        ("RERANKERS", "", ()),
        ("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1/", "http://127.0.0.1:8080/v1"),
        ("GRACE", "500ms", 0.5),
        ("GRACE", "2m", 120.0),
        ("GRACE", "7", 7.0),
        ("GRACE", "1.5s", 1.5),
        ("MAX_REQUEST_BYTES", "1 MiB", 2**20),
        ("MAX_REQUEST_BYTES", "70000", 70000),
        ("DISK_RESERVE_BYTES", "0", 0),
        ("HNSW_M", " 32 ", 32),
    ],
)
def test_what_is_taken(name: str, text: str, value: object) -> None:
    settings, _ = load({f"RAG_{name}": text})
    assert getattr(settings, name.lower()) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LISTEN", "50051"),
        ("LISTEN", "host:70000"),
        ("LISTEN", "::1:50051"),
        ("LISTEN", "a b:1"),
        ("STORE", "sqlite"),
        ("EMBEDDERS", "mock,,other"),
        ("EMBEDDERS", "mock,mock"),
        ("RERANKERS", "a,,b"),
        ("OPENAI_BASE_URL", "api.openai.com"),
        ("OPENAI_BASE_URL", "ftp://host"),
        ("OPENAI_BASE_URL", "https://host?key=1"),
        ("GRACE", "-1s"),
        ("GRACE", "nan"),
        ("GRACE", "2h"),
        ("GRACE", "1 day"),
        ("MAX_REQUEST_BYTES", "16MB"),
        ("MAX_REQUEST_BYTES", "1KiB"),
        ("MAX_REQUEST_BYTES", "2TiB"),
        ("HNSW_M", "1"),
        ("HNSW_M", "1e3"),
        ("HNSW_M", "١٦"),
        ("LOG_LEVEL", "loud"),
    ],
)
def test_what_is_refused_names_the_variable_and_the_value(name: str, text: str) -> None:
    assert len(found := faults({f"RAG_{name}": text})) == 1
    assert found[0].startswith(f"RAG_{name}: {text!r}")


def test_names_of_hosts_stand_without_ports() -> None:
    settings, _ = load({"RAG_PAGE_HOSTS": " Rag.Example, proxy-1 ,"})
    assert settings.page_hosts == ("rag.example", "proxy-1")
    for wrong in ("rag.example:8000", "http://rag.example", "*", "a b", "-a"):
        with pytest.raises(SettingsFault, match="without a port"):
            load({"RAG_PAGE_HOSTS": wrong})


def test_an_address_with_a_password_is_refused_and_not_shown() -> None:
    (found,) = faults({"RAG_OPENAI_BASE_URL": "https://me:hunter2@host/v1"})
    assert found.startswith("RAG_OPENAI_BASE_URL: has a user or password in it")
    assert "hunter2" not in found


def test_all_faults_are_told_at_once() -> None:
    found = faults({"RAG_LISTEN": "x", "RAG_GRACE": "soon", "RAG_DATADIR": "/srv", "RAG_HNSW_M": "0"})
    assert [fault.split(":")[0] for fault in found] == [
        "RAG_LISTEN",
        "RAG_GRACE",
        "RAG_HNSW_M",
        "RAG_DATADIR",
    ]
    assert found[-1] == "RAG_DATADIR: there is no such setting; RAG_DATA_DIR is meant?"


def test_names_that_are_nobodys_fault_are_only_reported() -> None:
    _, unknown = load(
        {"RAG_GRPC_SERVICE_HOST": "10.0.0.1", "RAG_SERVER": "x", "PATH": "/bin", "RAG_KILLS": "5"}
    )
    assert unknown == ["RAG_GRPC_SERVICE_HOST", "RAG_KILLS", "RAG_SERVER"]


def test_an_empty_value_is_none() -> None:
    assert load({"RAG_LISTEN": "", "RAG_GRACE": " "})[0] == Settings()


def test_the_environment_wins_over_the_file() -> None:
    Path(".env").write_text("RAG_LISTEN=127.0.0.1:1\nRAG_GRACE=3s\n# a comment\nOTHER=1\n")
    settings, unknown = load({"RAG_LISTEN": "127.0.0.1:2"})
    assert (settings.listen, settings.grace, unknown) == ("127.0.0.1:2", 3.0, [])


def test_another_file_can_be_named_and_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("RAG_GRACE=4s\n")
    assert load({}, tmp_path / "mine")[0].grace == 4.0
    with pytest.raises(SettingsFault, match="no file"):
        load({}, tmp_path / "missing")


# ---------------------------------------------------------------------------- secrets


@dataclasses.dataclass(frozen=True)
class WithSecret:
    api_key: environment.Secret = setting("", environment.secret, "A key.", secret=True)  # noqa: RUF009 # makes a dataclasses.field


def test_a_secret_is_never_shown() -> None:
    made, _ = read(WithSecret, {"RAG_API_KEY": "hunter2"})
    assert str(made.api_key) == "hunter2"
    assert "hunter2" not in repr(made)
    assert "hunter2" not in repr(made.api_key)


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2\n")
    made, unknown = read(WithSecret, {"RAG_API_KEY_FILE": str(tmp_path / "key")})
    assert (made.api_key, unknown) == ("hunter2", [])


def test_a_secret_from_two_places_is_a_fault_that_shows_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hunter2")
    found = faults({"RAG_API_KEY": "hunter3", "RAG_API_KEY_FILE": str(tmp_path / "key")}, WithSecret)
    assert found == ["RAG_API_KEY: is set, and so is RAG_API_KEY_FILE; set one of them"]


def test_a_secret_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    found = faults({"RAG_API_KEY_FILE": str(tmp_path / "missing")}, WithSecret)
    assert len(found) == 1
    assert found[0].startswith("RAG_API_KEY: ")


def test_a_setting_that_is_no_secret_takes_no_file() -> None:
    assert load({"RAG_STORE_FILE": "/x"})[1] == ["RAG_STORE_FILE"]
