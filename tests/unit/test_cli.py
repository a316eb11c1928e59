"""The command's arguments, and what it exits with."""

from pathlib import Path

import pytest

from rag_grpc import __version__
from rag_grpc.cli import main


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "RAG_STORE",
        "RAG_LISTEN",
        "RAG_GRACE",
        "RAG_EMBEDDERS",
        "RAG_KILLS",
        "RAG_ROUNDS",
        "RAG_SOAK",
    ):
        monkeypatch.delenv(name, raising=False)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"rag-grpc {__version__}\n"


def test_check_config_shows_what_a_server_would_start_with(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAG_GRACE", "2m")
    monkeypatch.setenv("RAG_NOTHING_KNOWN", "1")
    assert main(["check-config"]) == 0
    said = capsys.readouterr()
    shown = dict(line.split("=", 1) for line in said.out.splitlines())
    assert (shown["RAG_GRACE"], shown["RAG_LISTEN"], shown["RAG_EMBEDDERS"]) == (
        "120.0",
        "127.0.0.1:50051",
        "mock",
    )
    assert said.err == "RAG_NOTHING_KNOWN: there is no such setting; it is ignored\n"


def test_check_config_masks_secrets_and_shows_models(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = "small=openai:text-embedding-3-small?dimension=512"
    monkeypatch.setenv("RAG_EMBEDDERS", f"mock, {small}")
    (tmp_path / "key").write_text("hunter2\n")
    monkeypatch.setenv("RAG_OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    assert main(["check-config"]) == 0
    said = capsys.readouterr()
    shown = dict(line.split("=", 1) for line in said.out.splitlines())
    assert (shown["RAG_EMBEDDERS"], shown["RAG_RERANKERS"]) == (f"mock,{small}", "")
    assert shown["RAG_OPENAI_API_KEY"] == "***"
    assert "hunter2" not in said.out + said.err


def test_check_config_tells_all_faults(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAG_GRACE", "soon")
    monkeypatch.setenv("RAG_STORE", "sqlite")
    assert main(["check-config"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split(":")[0] for line in said.err.splitlines()] == ["RAG_STORE", "RAG_GRACE"]


def test_check_config_tells_faults_of_models_and_of_the_canary_s_file_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "canary.jsonl").write_text('{"query": "q", "relevance": {"a": 1}}\n{}\n{"query": 1}\n')
    monkeypatch.setenv("RAG_CANARY_FILE", "canary.jsonl")
    monkeypatch.setenv("RAG_EMBEDDERS", "nobody")
    assert main(["check-config"]) == 1
    first, second, third = capsys.readouterr().err.splitlines()
    assert first.startswith("RAG_EMBEDDERS: ")
    assert second.startswith("RAG_CANARY_FILE: line 2: ")
    assert third.startswith("RAG_CANARY_FILE: line 3: ")
    (tmp_path / "canary.jsonl").write_text('{"query": "q", "relevance": {"a": 1}}\n')
    monkeypatch.delenv("RAG_EMBEDDERS")
    assert main(["check-config"]) == 0
    assert "RAG_CANARY_FILE=canary.jsonl\nRAG_CANARY_INTERVAL=900.0\n" in capsys.readouterr().out


def test_check_config_knows_which_embedders_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAG_EMBEDDERS", "mock,clever")
    assert main(["check-config"]) == 1
    assert capsys.readouterr().err == "RAG_EMBEDDERS: there is no 'clever'; there is mock\n"


def test_an_env_file_can_be_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("RAG_GRACE=3s\n")
    assert main(["check-config", "--env-file", "mine"]) == 0
    assert "RAG_GRACE=3.0\n" in capsys.readouterr().out
    assert main(["check-config", "--env-file", "missing"]) == 1


def test_without_a_command_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
