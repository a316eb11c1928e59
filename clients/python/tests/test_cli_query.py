"""`ragctl query` and `ragctl reembed`: what the options send, and what people see of the answer."""

from __future__ import annotations

import io
import json
import shlex
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from rag_client.cli import main
from rag_client.cli.output import Output
from rag_client.cli.passages import Piece, shortened, whole
from ragapi.v1 import retrieval_service_pb2 as retrieval_pb

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
        code = main(arguments)
        out, err = capsys.readouterr()
        return int(code), out, err

    return run


EVERY_KNOB = """
    --collection c --top-k 3 --offset 4 --mode hybrid --min-score 0 --max-hits-per-document 2
    --dense-weight 0 --rank-constant 10 --rerank mmr --diversity 0.25 --candidates 9 --ef 50 --exact
    --omit metadata --omit title --metadata-key k --include-vectors --highlight --explain
"""


def test_every_knob_of_a_query_has_an_option(ragctl: Run, server: ScriptedServer) -> None:
    assert ragctl("query", "words", *shlex.split(EVERY_KNOB), "--filter", "a = 1")[0] == 0
    request = server.requests[-1]
    assert request == retrieval_pb.QueryRequest(
        query="words",
        collection="c",
        top_k=3,
        offset=4,
        filter="a = 1",
        mode=retrieval_pb.SEARCH_MODE_HYBRID,
        min_score=0,
        max_hits_per_document=2,
        fusion=retrieval_pb.Fusion(dense_weight=0, rank_constant=10),
        rerank=retrieval_pb.Rerank(mmr=retrieval_pb.MaximalMarginalRelevance(diversity=0.25), candidates=9),
        ef=50,
        exact=True,
        omit=[retrieval_pb.HIT_FIELD_METADATA, retrieval_pb.HIT_FIELD_TITLE],
        metadata_keys=["k"],
        include_vectors=True,
        highlight=True,
        explain=True,
    )
    missing = set(request.DESCRIPTOR.fields_by_name) - {field.name for field, _ in request.ListFields()}
    assert missing == {"vector", "doc_id"}  # which the two tests below give


def test_what_is_not_given_is_not_sent(ragctl: Run, server: ScriptedServer) -> None:
    ragctl("query", "words")
    assert server.requests[-1] == retrieval_pb.QueryRequest(query="words")


def test_more_like_a_document(ragctl: Run, server: ScriptedServer) -> None:
    assert ragctl("query", "--like", "docs/a.md")[0] == 0
    assert server.requests[-1] == retrieval_pb.QueryRequest(doc_id="docs/a.md")


def test_a_model_reads_the_best_again(ragctl: Run, server: ScriptedServer) -> None:
    ragctl("query", "x", "--rerank", "cross-encoder", "--model", "m")
    assert server.requests[-1].rerank == retrieval_pb.Rerank(
        cross_encoder=retrieval_pb.CrossEncoder(model="m")
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--mode", "fuzzy"],
        ["--rerank", "magic"],
        ["--diversity", "0.5"],
        ["--candidates", "5"],
        ["--rerank", "mmr", "--model", "m"],
        ["--rerank", "cross-encoder", "--diversity", "0.5"],
        ["--rerank", "mmr", "--diversity", "2"],
        ["--dense-weight", "-1"],
        ["--omit", "nothing"],
    ],
)
def test_options_that_cannot_be_are_2(ragctl: Run, server: ScriptedServer, options: list[str]) -> None:
    code, out, err = ragctl("query", "x", *options)
    assert (code, out) == (2, "")
    assert err
    assert not [each for each in server.requests if isinstance(each, retrieval_pb.QueryRequest)]


def found(text: str, *highlights: tuple[int, int]) -> retrieval_pb.Hit:
    hit = retrieval_pb.Hit(doc_id="a", score=0.75)
    hit.chunk.text = text
    for start, end in highlights:
        hit.highlights.add(start=start, end=end)
    return hit


def test_words_of_the_query_are_marked_in_a_pipe_and_on_a_terminal(
    ragctl: Run, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Ünï[b]: the\ngrüne Häuser"
    server.hits = [found(text, (8, 11), (12, 17))]
    assert "   Ünï[b]: **the** **grüne** Häuser\n" in ragctl("query", "x", "--highlight")[1]
    assert "   Ünï[b]: **the**\n   **grüne** Häuser\n" in ragctl("query", "x", "--highlight", "--full")[1]

    terminal = Output(as_json=False)
    screen = io.StringIO()
    terminal.console = Console(file=screen, force_terminal=True, color_system="standard", markup=False)
    terminal.passage(whole(text, [(8, 11)]), "   ")
    assert "\x1b[1;33mthe\x1b[0m" in screen.getvalue()
    assert "Ünï[b]: " in screen.getvalue()


def test_scores_and_the_plan_are_explained(ragctl: Run, server: ScriptedServer) -> None:
    server.hits = [found("x"), found("y")]
    server.hits[0].parts.MergeFrom(
        retrieval_pb.ScoreParts(dense=0.5, dense_rank=2, lexical=7.25, lexical_rank=1, rerank=0.9)
    )
    server.hits[1].parts.MergeFrom(retrieval_pb.ScoreParts(lexical=3, lexical_rank=2))
    server.plan = retrieval_pb.SearchPlan(
        strategy=retrieval_pb.SEARCH_STRATEGY_ANN, mode=retrieval_pb.SEARCH_MODE_HYBRID, matching_chunks=1234
    )
    for stage in ("fetch", "embed", "later"):
        server.plan.stages[stage].FromMicroseconds(1500)
    lines = ragctl("query", "x", "--explain")[1].splitlines()
    assert lines[2] == "   dense 0.5 (rank 2), lexical 7.25 (rank 1), re-ranked 0.9"
    assert lines[5] == "   lexical 3 (rank 2)"
    assert lines[6].startswith("2 hits in ")
    assert lines[6].endswith(
        "(hybrid, ann, 1,234 chunks pass the filter): embed 1.50 ms, fetch 1.50 ms, later 1.50 ms"
    )


def test_a_hit_without_its_text_is_shown_without(ragctl: Run, server: ScriptedServer) -> None:
    server.hits = [found("")]
    assert len(ragctl("query", "x", "--omit", "text")[1].splitlines()) == 2


@pytest.mark.parametrize(
    "highlights",
    [[], [(0, 2)], [(3, 5), (0, 1)], [(0, 3), (2, 6), (4, 5)], [(9, 12)], [(0, 10)], [(20, 30)]],
)
def test_pieces_put_together_are_the_text(highlights: list[tuple[int, int]]) -> None:
    text = "0123456789"
    pieces = whole(text, highlights)
    assert "".join(piece.text for piece in pieces) == text
    marked = {place for start, end in highlights for place in range(start, end) if place < len(text)}
    shown = [piece.marked for piece in pieces for _ in piece.text]
    assert {place for place, is_marked in enumerate(shown) if is_marked} == marked


def test_a_long_text_is_cut_around_its_first_highlight() -> None:
    text = "far " * 200 + "NEEDLE" + " hay" * 200
    start = text.index("NEEDLE")
    line = shortened(text, [(start, start + 6), (len(text) - 3, len(text))])
    assert [piece.text for piece in line if piece.marked] == ["NEEDLE"]
    assert line[0] == Piece("... ")
    assert line[1].text.startswith("far far")
    assert line[-1] == Piece(" ...")
    assert len("".join(piece.text for piece in line)) < 260


def test_a_script_without_spaces_is_cut_where_it_must_be() -> None:
    text = "字" * 500 + "針" + "字" * 500
    line = shortened(text, [(500, 501)])
    assert [piece.text for piece in line if piece.marked] == ["針"]
    assert "".join(piece.text for piece in line).count("字") == 239


def test_reembedding_ends_with_what_was_done(ragctl: Run, server: ScriptedServer) -> None:
    code, out, err = ragctl("reembed", "notes", "minilm")
    assert (code, err) == (0, "")
    assert out.startswith("notes is embedded by minilm: 2 chunks in ")
    assert (server.requests[-1].name, server.requests[-1].embedder) == ("notes", "minilm")


def test_every_step_of_a_reembedding_is_a_line_of_json(ragctl: Run) -> None:
    first, last = [
        json.loads(line) for line in ragctl("reembed", "notes", "minilm", "--json")[1].splitlines()
    ]
    assert (first["done"], first["total"], first["collection"]) == (1, 2, None)
    assert (last["done"], last["collection"]["embedder"]) == (2, "minilm")


def test_a_reembedding_has_a_progress_bar_on_a_terminal(ragctl: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()

    class OnTerminal(Output):
        def __init__(self, *, as_json: bool) -> None:
            super().__init__(as_json=as_json)
            self.errors = Console(file=screen, force_terminal=True, width=80)

    monkeypatch.setattr("rag_client.cli.reembedding.Output", OnTerminal)
    assert ragctl("reembed", "notes", "minilm")[0] == 0
    assert "2/2" in screen.getvalue()


def test_ctrl_c_stops_a_reembedding_on_the_server(server: ScriptedServer) -> None:
    program = "import sys; from rag_client.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["reembed", "endless", "minilm", "--json", "--server", server.target]
    child: Any = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdout=-1, stderr=-1, text=True
    )
    with child:
        try:
            assert json.loads(child.stdout.readline())["done"] == 1
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=20)
        finally:
            child.kill()
    assert child.returncode == 130
    assert "stopped at 1 of 2 chunks" in err
    assert server.left.wait(20)
