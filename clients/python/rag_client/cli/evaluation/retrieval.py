"""`ragctl eval retrieval`: labelled queries, what they find, and what that is worth."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from rag_client.cli import query_options as knobs
from rag_client.cli.evaluation.bars import Counted
from rag_client.cli.evaluation.floors import check_floors, parse_floors
from rag_client.cli.evaluation.judged_sets import JudgedSet, read_judged_set
from rag_client.cli.evaluation.options import (
    DEFAULT_CUTOFFS,
    Compare,
    Corpus,
    Cutoffs,
    Embedder,
    FailUnder,
    Keep,
    Labels,
    Language,
    Queries,
    Report,
    RunFile,
)
from rag_client.cli.evaluation.report_page import write_report
from rag_client.cli.evaluation.results import (
    AT_CUTOFF,
    LABELS,
    Earlier,
    QueryOutcome,
    Retrieved,
    measures,
    named_scores,
    read_earlier,
    shown_time,
)
from rag_client.cli.evaluation.run_files import write_run
from rag_client.cli.evaluation.scratch import scratch_collection
from rag_client.cli.evaluation.shown_documents import documents_to_show
from rag_client.cli.exit_codes import ExitCode
from rag_client.cli.options import DEFAULT_SERVER, CollectionName, Json, Server, Timeout, connect
from rag_client.cli.output import Output
from rag_client.evaluation import EvaluationProgress, QueryScores, RetrievalReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rag_client import RagClient


def retrieval(
    *,
    queries: Queries,
    qrels: Labels,
    corpus: Corpus = None,
    collection: CollectionName = "",
    keep: Keep = False,
    language: Language = "",
    embedder: Embedder = "",
    cutoffs: Cutoffs = DEFAULT_CUTOFFS,
    mode: knobs.Mode = None,
    filter: knobs.Filter = "",  # noqa: A002 - the contract's word
    min_score: knobs.MinScore = None,
    dense_weight: knobs.DenseWeight = None,
    rank_constant: knobs.RankConstant = 0,
    rerank: knobs.Reranker = None,
    diversity: knobs.Diversity = None,
    model: knobs.Model = "",
    candidates: knobs.Candidates = 0,
    ef: knobs.Ef = 0,
    exact: knobs.Exact = False,
    run_file: RunFile = None,
    report: Report = None,
    compare: Compare = None,
    fail_under: FailUnder = None,
    server: Server = DEFAULT_SERVER,
    timeout: Timeout = None,
    json: Json = False,
) -> None:
    """Ask labelled queries, and say how good their hits are: of a collection, or of a corpus of its own.

    With --corpus the documents are put into a collection that is removed at the end.
    """
    given = dict(locals())  # the parameters, each under the name that it has above
    plan = Plan.of(given)
    output = Output(as_json=json)
    judged = read_judged_set(queries, qrels)
    _warn(output, judged)
    with connect(server, timeout) as client:
        retrieved, documents = _measured(client, output, plan, judged)
    if run_file:
        write_run(run_file, retrieved)
    if report:
        write_report(report, retrieved, plan.earlier, documents)
    if json:
        output.json(retrieved)
    else:
        _show(output, retrieved, plan.earlier)
    check_floors(output, retrieved.scores, plan.floors)
    if retrieved.failed_documents:
        raise typer.Exit(ExitCode.SOME_FAILED)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command line asks for. Making one raises BadParameter where it contradicts itself."""

    given: Mapping[str, Any]
    cutoffs: tuple[int, ...]
    asked: Mapping[str, Any]
    floors: Mapping[str, float]
    earlier: Earlier | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Plan:
        """Look at a command's parameters, by name; files that are compared with are read."""
        if not given["corpus"]:
            for name in ("keep", "language", "embedder"):
                if given[name]:
                    raise typer.BadParameter(f"--{name} is for --corpus")
        cutoffs = _cutoffs(given["cutoffs"])
        return cls(
            given=given,
            cutoffs=cutoffs,
            asked=knobs.how_asked(given),
            floors=parse_floors(given["fail_under"] or (), measures(cutoffs)),
            earlier=read_earlier(given["compare"]) if given["compare"] else None,
        )


def _cutoffs(given: str) -> tuple[int, ...]:
    try:
        cutoffs = tuple(sorted({int(each) for each in given.split(",")}))
    except ValueError:
        cutoffs = ()
    if not cutoffs or cutoffs[0] < 1:
        raise typer.BadParameter(f"{given!r} is no list such as 1,5,10", param_hint="--cutoffs")
    return cutoffs


def _warn(output: Output, judged: JudgedSet) -> None:
    if judged.without_labels:
        output.warn(f"{judged.without_labels:,} queries have no labels, and are not asked")
    if judged.without_query:
        output.warn(f"{judged.without_query:,} labelled queries are not among the queries")


def _measured(
    client: RagClient, output: Output, plan: Plan, judged: JudgedSet
) -> tuple[Retrieved, dict[str, Any]]:
    """Run; return what it came to, and the documents that the page shows."""
    with ExitStack() as stack:
        name, failed = plan.given["collection"], 0
        if plan.given["corpus"]:
            scratch = stack.enter_context(
                scratch_collection(
                    client,
                    output,
                    plan.given["corpus"],
                    name=name,
                    keep=plan.given["keep"],
                    language=plan.given["language"],
                    embedder=plan.given["embedder"],
                )
            )
            name, failed = scratch.name, scratch.failed
        outcomes, report = _asked(client, output, plan, judged, name)
        retrieved = Retrieved(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            about=_about(client, name, plan),
            asked=plan.asked,
            cutoffs=plan.cutoffs,
            scores=named_scores(report),
            latency_p50=report.latency_p50,
            latency_p99=report.latency_p99,
            queries=tuple(outcomes),
            failed_documents=failed,
        )
        documents = documents_to_show(client, name, retrieved) if plan.given["report"] else {}
    return retrieved, documents


def _asked(
    client: RagClient, output: Output, plan: Plan, judged: JudgedSet, collection: str
) -> tuple[list[QueryOutcome], RetrievalReport]:
    labelled = {each.query_id: each for each in judged.queries}
    found: dict[str, QueryScores] = {}
    report: RetrievalReport | None = None
    options: Any = {**plan.asked, "collection": collection}
    events = client.evaluate_retrieval(judged.queries, cutoffs=plan.cutoffs, **options)
    with closing(events), Counted(output, "asking queries", len(labelled)) as counted:
        for event in events:
            match event:
                case QueryScores():
                    found[event.query_id] = event
                    counted.set(len(found))
                case RetrievalReport():
                    report = event
                case EvaluationProgress():
                    counted.set(event.done)
    if report is None:
        raise RuntimeError("the server ended the run without a report")
    outcomes = [
        QueryOutcome(
            query_id,
            query.text,
            query.relevance,
            ndcg=found[query_id].ndcg,
            recall=found[query_id].recall,
            latency=found[query_id].latency,
            doc_ids=found[query_id].doc_ids,
        )
        for query_id, query in labelled.items()
    ]
    return outcomes, report


def _about(client: RagClient, name: str, plan: Plan) -> dict[str, Any]:
    info, collection = client.get_server_info(), client.get_collection(name)
    return {
        "server": info.version,
        "store": info.store,
        "collection": collection.name,
        "embedder": collection.embedder,
        "language": collection.language,
        "documents": collection.document_count,
        "chunks": collection.chunk_count,
        "corpus": plan.given["corpus"].name if plan.given["corpus"] else "",
        "queries": plan.given["queries"].name,
        "qrels": plan.given["qrels"].name,
    }


def _show(output: Output, retrieved: Retrieved, earlier: Earlier | None) -> None:
    scores = retrieved.scores
    rows = [
        [f"@{k}", *(_cell(f"{name}@{k}", scores, earlier) for name in AT_CUTOFF)] for k in retrieved.cutoffs
    ]
    output.table(["k", *(LABELS[name] for name in AT_CUTOFF)], rows)
    median, most = retrieved.latency_p50 * 1000, retrieved.latency_p99 * 1000
    output.line(
        f"MAP {_cell('map', scores, earlier)}; {len(retrieved.queries):,} queries;"
        f" median {median:.1f} ms, 99 of 100 within {most:.1f} ms"
    )
    if earlier is not None:
        output.line(f"in brackets: the change since {shown_time(earlier.time)}", style="dim")


def _cell(name: str, scores: Mapping[str, float], earlier: Earlier | None) -> str:
    cell = f"{scores[name]:.4f}"
    if earlier is None or name not in earlier.scores:
        return cell
    return f"{cell} ({scores[name] - earlier.scores[name]:+.4f})"
