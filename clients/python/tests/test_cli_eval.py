"""`ragctl eval` as a shell sees it, against the scripted server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from clients.python.tests.scripted_server import Failure
from rag_client import cli
from rag_client.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.python.tests.scripted_server import ScriptedServer

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
def files(tmp_path: Path) -> list[str]:
    """Two queries with labels, one without, and the cutoff that the scripted server knows."""
    (tmp_path / "queries").write_bytes(b"q1\twhy?\nq2\thow, then?\nq3\twho?\n")
    (tmp_path / "labels").write_bytes(b"q1\td1\t1\nq2\td2\t0\n")
    return ["--queries", str(tmp_path / "queries"), "--qrels", str(tmp_path / "labels"), "--cutoffs", "10"]


def sent(server: ScriptedServer, kind: str) -> list[Any]:
    return [each for each in server.requests if type(each).__name__ == kind]


def test_a_collection_is_evaluated(ragctl: Run, server: ScriptedServer, files: list[str]) -> None:
    code, out, err = ragctl("eval", "retrieval", *files, "-c", "c", "--mode", "lexical")
    assert code == ExitCode.OK, err
    assert out.splitlines()[0] == "@10\t0.1000\t0.2000\t0.3000\t0.4000\t0.5000"
    assert "MAP 0.5000; 2 queries; median 3.0 ms, 99 of 100 within 1500.0 ms" in out
    assert "1 queries have no labels" in err
    first, second = sent(server, "EvaluateRetrievalRequest")
    assert (first.template.collection, first.template.mode, list(first.cutoffs)) == ("c", 2, [10])
    assert [each.query_id for each in second.queries] == ["q1", "q2"]


def test_json_has_everything_and_can_be_compared_with(ragctl: Run, files: list[str], tmp_path: Path) -> None:
    code, out, _ = ragctl("eval", "retrieval", *files, "--ef", "50", "--json")
    assert code == ExitCode.OK
    printed = json.loads(out)
    assert printed["scores"]["ndcg@10"] == 0.3
    assert printed["asked"] == {"ef": 50}
    assert printed["about"]["collection"] == "default"
    first, second = printed["queries"]
    assert (first["query_id"], first["ndcg"], first["relevance"]) == ("q1", 1.0, {"d1": 1})
    assert (second["text"], second["recall"], second["latency"]) == ("how, then?", 1.0, 0.002)
    printed["scores"]["map"] = 0.25
    (tmp_path / "earlier.json").write_text(json.dumps(printed))
    code, out, _ = ragctl("eval", "retrieval", *files, "--compare", str(tmp_path / "earlier.json"))
    assert code == ExitCode.OK
    assert "MAP 0.5000 (+0.2500)" in out
    assert "0.3000 (+0.0000)" in out


@pytest.mark.parametrize(
    ("floors", "code"),
    [
        (["ndcg@10=0.3", "map=0.5"], ExitCode.OK),
        (["ndcg@10=0.31"], ExitCode.SOME_FAILED),
        (["map=0.4", "recall@10=0.2"], ExitCode.SOME_FAILED),
        (["recall@5=0.1"], ExitCode.USAGE),
        (["map"], ExitCode.USAGE),
        (["map=much"], ExitCode.USAGE),
    ],
)
def test_a_floor_decides_about_the_exit_code(
    ragctl: Run, files: list[str], floors: list[str], code: ExitCode
) -> None:
    options = [part for floor in floors for part in ("--fail-under", floor)]
    ended, out, err = ragctl("eval", "retrieval", *files, *options)
    assert ended == code, err
    if code is ExitCode.SOME_FAILED:
        assert "MAP" in out
        assert ", below 0." in err


def test_what_does_not_go_together_is_refused(ragctl: Run, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"kind": "index"}')
    for wrong in (
        ["--keep"],
        ["--language", "en"],
        ["--embedder", "mock"],
        ["--cutoffs", "ten"],
        ["--cutoffs", "0,1"],
        ["--diversity", "0.5"],
        ["--compare", str(tmp_path / "other.json")],
        ["--compare", str(tmp_path / "queries")],
    ):
        code, _, err = ragctl("eval", "retrieval", *files, *wrong)
        assert code == ExitCode.USAGE, (wrong, err)


def test_a_file_that_is_none_of_ours_is_refused(ragctl: Run, files: list[str], tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(b"nonsense\n")
    code, _, err = ragctl("eval", "retrieval", *files)
    assert code == ExitCode.USAGE
    assert "labels" in err


# ---------------------------------------------------------------------------- a corpus


@pytest.fixture
def corpus(tmp_path: Path) -> list[str]:
    path = tmp_path / "corpus"
    path.write_text("".join(json.dumps({"_id": f"d{n}", "text": f"text {n}"}) + "\n" for n in range(5)))
    return ["--corpus", str(path)]


def test_a_corpus_has_a_collection_for_this_run_alone(
    ragctl: Run, server: ScriptedServer, files: list[str], corpus: list[str]
) -> None:
    code, out, err = ragctl("eval", "retrieval", *files, *corpus, "--language", "en", "--json")
    assert code == ExitCode.OK, err
    (made,) = sent(server, "CreateCollectionRequest")
    name = made.collection.name
    assert name.startswith("eval-")
    assert made.collection.language == "en"
    assert set(server.documents) == {f"d{n}" for n in range(5)}
    assert [each.name for each in sent(server, "DeleteCollectionRequest")] == [name]
    assert sent(server, "EvaluateRetrievalRequest")[0].template.collection == name
    assert json.loads(out)["about"]["corpus"] == "corpus"


def test_it_is_removed_after_trouble_and_kept_on_request(
    ragctl: Run, server: ScriptedServer, files: list[str], corpus: list[str]
) -> None:
    server.fail("EvaluateRetrieval", Failure(grpc.StatusCode.UNAVAILABLE, "MODEL_UNAVAILABLE"))
    code, _, _ = ragctl("eval", "retrieval", *files, *corpus)
    assert code == ExitCode.UNAVAILABLE
    assert len(sent(server, "DeleteCollectionRequest")) == 1
    code, _, err = ragctl("eval", "retrieval", *files, *corpus, "--keep")
    assert code == ExitCode.OK
    assert len(sent(server, "DeleteCollectionRequest")) == 1
    assert "kept collection eval-" in err


def test_a_collection_that_is_there_is_not_mixed_with(
    ragctl: Run, server: ScriptedServer, files: list[str], corpus: list[str]
) -> None:
    code, _, err = ragctl("eval", "retrieval", *files, *corpus, "-c", "mine")
    assert code == ExitCode.USAGE
    assert "is there already" in err
    assert not sent(server, "DeleteCollectionRequest")


def test_documents_that_were_not_stored_fail_the_command(
    ragctl: Run, server: ScriptedServer, files: list[str], corpus: list[str]
) -> None:
    server.problems["d3"].append(Failure(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"))
    code, out, err = ragctl("eval", "retrieval", *files, *corpus, "--json")
    assert code == ExitCode.SOME_FAILED
    assert "failed d3" in err
    assert json.loads(out)["failed_documents"] == 1


def test_a_run_can_be_written_for_trec_eval(ragctl: Run, files: list[str], tmp_path: Path) -> None:
    code, _, _ = ragctl("eval", "retrieval", *files, "--run-file", str(tmp_path / "run"))
    assert code == ExitCode.OK
    assert (tmp_path / "run").read_text() == "q1 Q0 d1 1 1 rag-grpc\nq2 Q0 d2 1 1 rag-grpc\n"


# ---------------------------------------------------------------------------- the index


def test_the_index(ragctl: Run, server: ScriptedServer) -> None:
    code, out, _ = ragctl("eval", "index", "-c", "c", "--sample-size", "7", "-k", "3", "--ef", "9")
    assert code == ExitCode.OK
    assert out.splitlines() == ["recall\t0.7500", "95 of 100 reach\t0.5000", "vectors asked\t7"]
    (request,) = sent(server, "MeasureIndexRecallRequest")
    assert (request.collection, request.sample_size, request.top_k, request.ef) == ("c", 7, 3, 9)
    code, out, err = ragctl("eval", "index", "--json", "--fail-under", "recall_p5=0.6")
    assert code == ExitCode.SOME_FAILED
    assert json.loads(out) == {
        "kind": "index",
        "collection": "default",
        "recall": 0.75,
        "recall_p5": 0.5,
        "sample_size": 100,
    }
    assert "recall_p5 is 0.5000, below 0.6" in err


# ---------------------------------------------------------------------------- answers


@pytest.fixture
def weighed(tmp_path: Path) -> list[str]:
    """Two answers, of which the scripted judge supports the first; the second is of another form."""
    path = tmp_path / "answers"
    lines = [
        {"question": "why?", "answer": "because", "contexts": ["because", "it is so"]},
        {"id": "two", "response": "<b>perhaps</b>", "context": "no", "label": 0},
    ]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return ["--answers", str(path)]


def test_answers_are_weighed(ragctl: Run, server: ScriptedServer, weighed: list[str]) -> None:
    code, out, err = ragctl("eval", "answers", *weighed, "--judge", "nli", "--language", "de")
    assert code == ExitCode.OK, err
    assert out.splitlines() == [
        "faithfulness\t0.6250",
        "95 of 100 reach\t0.2500",
        "answers weighed\t2",
        "judge\tnli",
    ]
    (request,) = sent(server, "EvaluateFaithfulnessRequest")
    assert [list(each.contexts) for each in request.answers] == [["because", "it is so"], ["no"]]
    assert request.answers[0].question == "why?"
    assert [each.language for each in request.answers] == ["de", "de"]


def test_answers_as_json_with_a_floor_and_a_page(ragctl: Run, weighed: list[str], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    floor = ("--fail-under", "faithfulness=0.7")
    code, out, err = ragctl("eval", "answers", *weighed, "--json", "--report", str(page), *floor)
    assert code == ExitCode.SOME_FAILED
    assert "faithfulness is 0.6250, below 0.7" in err
    printed = json.loads(out)
    assert (printed["kind"], printed["judge"], printed["scores"]["answered"]) == ("answers", "lexical", 1.0)
    assert printed["answers"][1]["sentences"] == [
        {"start": 0, "end": 14, "support": 0.25, "context_index": 0}
    ]
    text = page.read_text()
    assert '<mark class="unsupported">&lt;b&gt;perhaps&lt;/b&gt;</mark>' in text
    assert text.index("perhaps") < text.index("because")


def test_many_answers_go_in_several_requests(ragctl: Run, server: ScriptedServer, tmp_path: Path) -> None:
    path = tmp_path / "answers"
    long = {"answer": "x", "contexts": ["y" * 600_000]}
    short = {"answer": "x", "contexts": ["x"]}
    path.write_text("".join(json.dumps(each) + "\n" for each in [long, long, *[short] * 40]))
    code, out, _ = ragctl("eval", "answers", "--answers", str(path), "--json")
    assert code == ExitCode.OK
    assert len(json.loads(out)["answers"]) == 42
    assert [len(each.answers) for each in sent(server, "EvaluateFaithfulnessRequest")] == [1, 31, 10]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"answer": "a"}', "an answer has contexts"),
        ("{}", "neither an answer nor a question"),
        ('{"question": 5}', "are texts"),
        ("", "is empty"),
    ],
)
def test_a_line_that_is_no_answer_is_named(ragctl: Run, tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "answers").write_text(line)
    code, _, err = ragctl("eval", "answers", "--answers", str(tmp_path / "answers"))
    assert code == ExitCode.USAGE
    assert says in err


def test_how_to_ask_is_for_questions(ragctl: Run, weighed: list[str]) -> None:
    code, _, err = ragctl("eval", "answers", *weighed, "--collection", "c")
    assert code == ExitCode.USAGE
    assert "are for questions" in err
