"""ragctl as a shell sees it: what goes to stdout, what to stderr, and the exit code."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from clients.python.tests.scripted_server import BROKEN, Failure, ScriptedServer, running
from rag_client import cli, errors
from rag_client.cli.exit_codes import ExitCode, exit_code
from rag_client.cli.output import as_json
from rag_client.structs import from_struct
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ragctl(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    monkeypatch.setenv("RAG_SERVER", server.target)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(arguments)
        out, err = capsys.readouterr()
        return int(code), out, err

    return run


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    lines = [{"doc_id": f"d{number}", "text": f"text {number}", "title": "t"} for number in range(5)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def test_ping_info_and_health(ragctl: Run, server: ScriptedServer) -> None:
    assert "pong from" in ragctl("ping")[1]
    assert json.loads(ragctl("ping", "--json")[1])["status"] == "ok"
    assert "max_batch_documents\t1,000\n" in ragctl("info")[1]
    assert json.loads(ragctl("info", "--json")[1])["embedders"][0]["dimension"] == 384
    assert ragctl("health")[:2] == (0, "serving\n")
    server.serving = 2
    assert ragctl("health", "--service", "s", "--json")[:2] == (
        1,
        '{"service": "s", "status": "not_serving"}\n',
    )


def test_ingest_counts_and_names(ragctl: Run, server: ScriptedServer, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    server.problems["d3"].append(
        Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "wrong", fields={"document.text": "more"})
    )
    code, out, err = ragctl("ingest", str(tmp_path), "--batch", "2")
    assert code == 1
    named, counts = out.splitlines()
    assert named == "failed: d3"
    assert counts.endswith("4 created, 0 replaced, 0 unchanged, 1 failed, 1 skipped")
    assert "failed d3: INVALID_FIELD: wrong; document.text: more" in err
    assert "a.png: not text" in err
    code, out, _ = ragctl("ingest", str(corpus), "--json", "--prefix", "p/")
    lines = [json.loads(line) for line in out.split("\n")[:-1]]
    assert code == 0
    assert [line["doc_id"] for line in lines[:-1]] == [f"p/d{n}" for n in range(5)]
    assert lines[-1]["summary"]["created"] == 5


def test_a_summary_names_some_failures_and_counts_all(ragctl: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("no json\n" * 1200)
    lines = ragctl("ingest", str(tmp_path))[1].splitlines()
    assert lines[0].endswith("bad.jsonl:1")
    assert (len(lines), lines[20]) == (22, "failed: 1180 more")
    assert lines[21].endswith("0 unchanged, 1200 failed")
    summary = json.loads(ragctl("ingest", "--json", str(tmp_path))[1])["summary"]
    assert (summary["failed"], len(summary["failures"])) == (1200, 1000)
    assert summary["failures"][0]["why"].startswith("no JSON")


def test_a_dry_run_sends_nothing(ragctl: Run, server: ScriptedServer, corpus: Path) -> None:
    code, out, _ = ragctl("ingest", "--dry-run", str(corpus))
    assert (code, out.splitlines()[0]) == (0, "d0  6 characters  t")
    assert out.endswith("5 documents would be sent, 0 failed, 0 skipped\n")
    assert server.requests == []


def test_create_makes_the_collection_first(ragctl: Run, server: ScriptedServer, corpus: Path) -> None:
    assert ragctl("ingest", str(corpus), "-c", "notes", "--create", "--language", "en")[0] == 0
    assert (server.requests[0].collection.name, server.requests[0].collection.language) == ("notes", "en")
    assert {each.collection for each in server.requests if hasattr(each, "sequence")} == {"notes"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["ingest", "/nothing/there"],
        ["ingest", "README.md", "--create"],
        ["ingest", "README.md", "--language", "en"],
        ["ingest"],
        ["query"],
        ["query", "x", "--mode", "fuzzy"],
        ["query", "--vector-file", "pyproject.toml"],
        ["delete"],
        ["delete", "a", "--all"],
        ["nonsense"],
        ["ping", "--timeout", "0"],
        ["--ca-file", "/nothing/there", "ping"],
        ["update-metadata", "d1"],
        ["update-metadata", "d1", "lang"],
        ["update-metadata", "d1", "=en"],
        ["update-metadata", "d1", "a=1", "a=2"],
    ],
)
def test_wrong_arguments_are_2_and_nothing_is_sent(
    ragctl: Run, server: ScriptedServer, arguments: list[str]
) -> None:
    code, out, err = ragctl(*arguments)
    assert (code, out) == (2, "")
    assert err
    assert [each for each in server.requests if str(each) != ""] == []


def hit(**fields: Any) -> retrieval_pb.Hit:
    found = retrieval_pb.Hit(doc_id="a", score=0.75, title="The title")
    found.chunk.text = fields.get("text", "one\n two " + "x " * 400)
    found.chunk.headings.append("Part")
    found.chunk.start, found.chunk.end = 3, 9
    found.parts.dense, found.parts.dense_rank = 0.5, 1
    return found


def test_query_shows_hits_for_people(ragctl: Run, server: ScriptedServer) -> None:
    server.hits = [hit()]
    code, out, _ = ragctl("query", "hello", "-k", "3", "--explain", "--min-score", "0", "-c", "notes")
    lines = out.splitlines()
    assert code == 0
    assert lines[:2] == ["1. 0.7500  a  #0  3-9", "   The title > Part"]
    assert lines[2].startswith("   one two x x")
    assert lines[2].endswith(" ...")
    assert lines[3] == "   dense 0.5 (rank 1)"
    assert lines[4].startswith("1 hit in ")
    assert lines[4].endswith("(dense, exact)")
    request = server.requests[-1]
    assert (request.top_k, request.explain, request.collection) == (3, True, "notes")
    assert request.HasField("min_score")


def test_query_by_vector_and_as_json(ragctl: Run, server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text("[1, 0.5]")
    server.hits = [hit(text="a\u2028b\x85c\x1b[31m")]
    code, out, _ = ragctl("query", "--vector-file", str(tmp_path / "v.json"), "--json")
    assert (code, len(out.splitlines())) == (0, 1)
    assert json.loads(out)["hits"][0]["chunk"]["text"] == "a\u2028b\x85c\x1b[31m"
    assert len(server.requests[-1].vector.packed) == 8


def test_text_of_documents_cannot_drive_the_terminal(ragctl: Run, server: ScriptedServer) -> None:
    server.hits = [hit(text="[red]x[/red] \x1b]0;evil\x07")]
    out = ragctl("query", "hello", "--full")[1]
    assert "[red]x[/red] \ufffd]0;evil\ufffd" in out
    assert "\x1b" not in out


def test_get_list_and_delete(ragctl: Run, server: ScriptedServer, corpus: Path) -> None:
    ragctl("ingest", str(corpus))
    assert ragctl("get", "d1")[1].endswith("\n\ntext 1\n")
    assert json.loads(ragctl("get", "d1", "--json")[1])["text"] == "text 1"
    assert [
        json.loads(line)["text"] for line in ragctl("get", "d1", "--chunks", "--json")[1].splitlines()
    ] == [
        "x",
        "y",
        "z",
    ]
    assert ragctl("list")[1].splitlines()[0] == "d0\t0\t0\tt"
    assert len(ragctl("list", "--json")[1].splitlines()) == 5
    assert ragctl("count")[:2] == (0, "5\n")
    assert ragctl("count", "--filter", "a = 1", "--json")[:2] == (0, '{"count": 5}\n')
    assert ragctl("delete", "d1", "nobody")[:2] == (0, "1 documents removed\n")
    assert ragctl("delete", "--all", "--validate-only")[:2] == (0, "4 documents would be removed\n")
    assert json.loads(ragctl("delete", "--all", "--yes", "--json")[1]) == {
        "matched_count": 4,
        "deleted_count": 4,
    }
    assert server.documents == {}


def test_metadata_are_changed_by_words(ragctl: Run, server: ScriptedServer) -> None:
    words = ["lang=en", "year=2024", "draft=null", 'tags=["a"]', 'zip="01"', "note=a=b", "odd=NaN", "empty="]
    code, out, _ = ragctl("update-metadata", "d1", *words, "--expected-revision", "3", "-c", "notes")
    request = server.requests[-1]
    assert (code, out.splitlines()[0]) == (0, "d1  revision 7")
    assert (request.doc_id, request.collection, request.replace) == ("d1", "notes", False)
    assert request.expected_revision == 3
    assert from_struct(request.metadata) == {
        "lang": "en",
        "year": 2024,
        "draft": None,
        "tags": ["a"],
        "zip": "01",
        "note": "a=b",
        "odd": "NaN",
        "empty": "",
    }
    out = ragctl("update-metadata", "d1", "a=1", "--replace", "--json")[1]
    assert json.loads(out) == {"revision": 7, "metadata": {"a": 1}}
    assert server.requests[-1].replace
    assert not server.requests[-1].HasField("expected_revision")


class Terminal(io.StringIO):
    """Somebody who types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "code", "left"), [("n\n", 1, 5), ("", 1, 5), ("y\n", 0, 0)])
def test_deleting_all_asks_first(
    *,
    ragctl: Run,
    server: ScriptedServer,
    corpus: Path,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    code: int,
    left: int,
) -> None:
    ragctl("ingest", str(corpus))
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    found, _, err = ragctl("delete", "--all")
    assert (found, len(server.documents)) == (code, left)
    assert "Remove 5 documents of default?" in err


def test_where_nobody_can_be_asked_yes_is_needed(ragctl: Run, server: ScriptedServer, corpus: Path) -> None:
    ragctl("ingest", str(corpus))
    code, _, err = ragctl("delete", "--all")
    assert (code, len(server.documents)) == (2, 5)
    assert "say --yes" in err


def test_collections(ragctl: Run, server: ScriptedServer) -> None:
    assert [line.split("\t")[0] for line in ragctl("collections", "list")[1].splitlines()] == ["a", "b", "c"]
    assert len(ragctl("collections", "list", "--json")[1].splitlines()) == 3
    assert "metric\tcosine\n" in ragctl("collections", "show")[1]
    made = ragctl("collections", "create", "n", "--metric", "dot", "--max-characters", "500", "--json")[1]
    assert (json.loads(made)["metric"], json.loads(made)["chunking"]["max_characters"]) == ("dot", 500)
    made = ragctl("collections", "create", "m", "--max-tokens", "200", "--without-context", "--json")[1]
    chunking = json.loads(made)["chunking"]
    assert (chunking["max_tokens"], chunking["without_context"]) == (200, True)
    assert ragctl("collections", "delete", "a", "--yes")[:2] == (0, "removed a\n")
    assert ragctl("collections", "delete", "zz", "--yes")[0] == 3


def test_an_error_is_one_line_with_its_request(ragctl: Run, server: ScriptedServer) -> None:
    code, out, err = ragctl("get", "nobody")
    assert (code, out) == (3, "")
    assert err == "ragctl: DOCUMENT_NOT_FOUND: no such document (request req-1)\n"


def test_an_unknown_fault_is_one_line_too(ragctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("rag_client.cli.server_commands.connect", broken)
    assert ragctl("ping") == (6, "", "ragctl: a fault of ragctl: RuntimeError: two lines\n")


def test_a_server_that_is_not_there_is_4(ragctl: Run) -> None:
    code, out, err = ragctl("ping", "--server", "127.0.0.1:1", "--timeout", "0.2")
    assert (code, out, err.count("\n")) == (4, "", 1)


def test_the_server_may_stand_before_or_behind_the_command(
    ragctl: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAG_SERVER", "127.0.0.1:1")
    assert ragctl("--server", server.target, "ping")[0] == 0
    assert ragctl("--server", server.target, "collections", "show")[0] == 0
    assert ragctl("--server", "127.0.0.1:2", "ping", "--server", server.target)[0] == 0


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1, which vouches for itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, and makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "cert.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(made)]
    subprocess.run(["openssl", *options.split(), *names], check=True, capture_output=True)
    return key, made


def test_tls_and_the_key_go_with_every_command(
    ragctl: Run, certificate: tuple[Path, Path], corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, made = certificate
    pair = (key.read_bytes(), made.read_bytes())
    secure = ScriptedServer()
    with running(secure, grpc.ssl_server_credentials([pair])):
        monkeypatch.setenv("RAG_SERVER", secure.target)
        assert ragctl("--ca-file", str(made), "--api-key", "k1", "list")[0] == 0
        assert secure.invocation_metadata[-1]["authorization"] == "Bearer k1"
        monkeypatch.setenv("RAG_CA_FILE", str(made))
        monkeypatch.setenv("RAG_API_KEY", "k2")
        assert ragctl("ingest", str(corpus))[0] == 0
        assert {each["authorization"] for each in secure.invocation_metadata[1:]} == {"Bearer k2"}
        monkeypatch.delenv("RAG_CA_FILE")
        for refused in (["--tls", "ping"], ["ping"]):  # nobody vouches for it, and no plain text
            code, out, err = ragctl(*refused, "--timeout", "2")
            assert (code, out) == (4, "")
            assert "k2" not in err


def test_what_one_command_line_says_the_next_does_not_know(ragctl: Run, server: ScriptedServer) -> None:
    assert ragctl("--api-key", "k1", "ping")[0] == 0
    assert ragctl("ping")[0] == 0
    assert "authorization" not in server.invocation_metadata[-1]


def test_a_stream_that_breaks_is_no_business_of_the_shell(
    ragctl: Run, server: ScriptedServer, corpus: Path
) -> None:
    def leave(messages: Any, context: Any) -> Any:
        yield server.answer(next(messages))
        BROKEN.abort(context)

    server.stream_scripts.append(leave)
    code, out, err = ragctl("ingest", str(corpus), "--batch", "1")
    assert (code, err) == (0, "")
    assert "5 created" in out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidFieldError(""), 2),
        (errors.DocumentNotFoundError(""), 3),
        (errors.NotReadyError(""), 4),
        (errors.DeadlineExceededError(""), 4),
        (errors.CollectionExistsError(""), 5),
        (errors.RevisionMismatchError(""), 5),
        (errors.NotConfiguredError(""), 5),
        (errors.StorageFullError(""), 5),
        (errors.PermissionDeniedError(""), 5),
        (errors.InternalError(""), 6),
        (errors.RagClientError(""), 6),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: errors.RagClientError, code: int) -> None:
    assert exit_code(error) == code


def test_the_exit_codes_stand_in_the_help_and_in_the_readme(ragctl: Run) -> None:
    from pathlib import Path

    shown = " ".join(ragctl("--help")[1].split())
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for code in ExitCode:
        assert f"{code.value} {code.meaning}" in shown
        assert f"| {code.value} | {code.meaning} |" in readme


def test_json_is_one_line_whatever_the_text() -> None:
    text = as_json({"t": "a\u2028b\u2029c\x85d\x7f", "e": errors.NotReadyError("x", retry_delay=1.5)})
    assert len(text.splitlines()) == 1
    assert json.loads(text)["t"] == "a\u2028b\u2029c\x85d\x7f"
    assert json.loads(text)["e"]["reason"] == "NOT_READY"


def test_the_release_is_printed(ragctl: Run) -> None:
    from rag_client import __version__

    assert ragctl("--version")[:2] == (0, f"ragctl {__version__}\n")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_one_line_says_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None\nfrom rag_client.cli import main; sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'ragctl needs its extra: pip install "rag-grpc-client[cli]"\n'


def test_a_reader_that_leaves_early_is_no_fault(server: ScriptedServer, corpus: Path) -> None:
    program = "import sys; from rag_client.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "list", "--json", "--server", server.target]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.close()
    assert child.stderr is not None
    with child.stderr:
        assert child.stderr.read() == ""
    assert child.wait(20) == 0


def test_an_interrupted_ingest_says_what_is_in(server: ScriptedServer, corpus: Path) -> None:
    answered, forever = threading.Event(), threading.Event()

    def stuck(messages: Any, _context: Any) -> Any:
        yield server.answer(next(messages))
        next(messages)
        # Nothing tells when the client has read the answer; a busy machine may take its time.
        forever.wait(2)
        answered.set()
        forever.wait(20)

    server.stream_scripts.append(stuck)
    program = "import sys; from rag_client.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["ingest", str(corpus), "--batch", "2", "--server", server.target]
    child = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=-1, stderr=-1, text=True)
    try:
        assert answered.wait(20)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    finally:
        forever.set()
        child.kill()
    assert (child.returncode, err.strip()) == (130, "")  # some releases of typer end the line of the ^C
    assert "2 created" in out
