"""See it work: the project's own documents go in over gRPC, and the right ones come back.

`make demo` runs this. It starts the real server as a child, on free ports and with a
scratch data folder, asks questions whose answers are in the documents, kills the
server with SIGKILL, and asks again. Exit code 0 means that each question found its
source among the first three hits, and that every document was still there with the
same answers after the restart; 1 that something was not so; 2 that the demo could not run.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
import textwrap
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A script's own folder is on the path, not the one that it is named from here.
sys.path.insert(0, str(ROOT))

from tools.demo_server import DemoError, Server  # noqa: E402

try:
    from rag_client import Document, Field, Hit, RagClient, RagClientError
    from rag_client.cli.files import Finder
    from rag_client.cli.reading import Reader
except ModuleNotFoundError as missing:
    sys.exit(f"{missing}; `make demo` makes the environment that this needs")
except KeyboardInterrupt:
    sys.exit(128 + signal.SIGINT)

SOURCES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "proto")
FIRST = 3  # hits that are asked for; the expected source is to be among them


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the document that answers it."""

    text: str
    source: str


QUESTIONS = (
    Question("Are deletions refused while the disk is full?", "docs/operations.md"),
    Question("How does a server that drains end a stream?", "proto/ragapi/v1/ingestion_service.proto"),
    Question("What is recall@5 on SQuAD by weights that were not chosen by it?", "docs/embedder.md"),
    Question("Why are the generated stubs committed?", "docs/decisions/0005-stubs-are-committed.md"),
    Question("Which folder has tests that kill the server?", "CONTRIBUTING.md"),
)


STRANGE = "Which composer wrote the opera Tosca?"
"""What no document here answers."""


class Screen:
    """What the demo says: numbered steps, aligned hits, bold where a terminal shows it."""

    def __init__(self) -> None:
        self._bold = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._width = max(80, min(shutil.get_terminal_size().columns, 110))
        self._step = 0

    def title(self, text: str) -> None:
        """Print a line that stands out."""
        print(f"\033[1m{text}\033[0m" if self._bold else text, flush=True)

    def step(self, text: str) -> None:
        """Begin the next step."""
        self._step += 1
        self.title(f"\n{self._step}. {text}")

    def line(self, text: str) -> None:
        """Print what happened, in one line."""
        print(textwrap.shorten(text, self._width, initial_indent="   ", placeholder=" ..."), flush=True)

    def text(self, text: str) -> None:
        """Print what may take some lines."""
        print(textwrap.fill(text, self._width, initial_indent="   ", subsequent_indent="   "), flush=True)

    def answer(self, question: Question, hits: tuple[Hit, ...], milliseconds: float) -> None:
        """Print a question and its hits, with the passage of the one that was expected."""
        self.title(f"\n   {question.text}")
        for rank, hit in enumerate(hits, 1):
            place = " > ".join((hit.doc_id, *hit.chunk.headings[1:]))
            print(f"   {rank}. {hit.score:.3f}  {place}")
            if hit is expected(question, hits):
                self._passage(hit, question)
        print(f"   {milliseconds:.1f} ms", flush=True)

    def _passage(self, hit: Hit, question: Question) -> None:
        text = textwrap.shorten(passage(hit, question.text), 2 * self._width - 30, placeholder=" ...")
        print(textwrap.fill(text, self._width, initial_indent=" " * 13, subsequent_indent=" " * 13))


def expected(question: Question, hits: tuple[Hit, ...]) -> Hit | None:
    """Return the first hit of the expected source."""
    return next((hit for hit in hits if hit.doc_id == question.source), None)


def passage(hit: Hit, question: str) -> str:
    """Return the sentence or line of a hit that has most words of the question, without its markup."""

    def words(text: str) -> set[str]:
        return {word[:4] for word in re.findall(r"[^\W_]{3,}", text.lower())}

    text = re.sub(r"^\s*//|[`*#]", " ", hit.chunk.text, flags=re.MULTILINE)
    parts = re.split(r"\n\s*\n|\n(?=[|-])|(?<=[.?!])\s+(?=[A-Z][^|]*$)", text, flags=re.MULTILINE)
    sentences = [" ".join(part.replace("|", " ").split()).removeprefix("- ") for part in parts]
    return max(sentences, key=lambda each: (len(words(each) & words(question)), len(each)))


def documents() -> list[Document]:
    """Read the project's own documents; ids are their paths in the project."""
    paths = [str(ROOT / name) for name in SOURCES if (ROOT / name).exists()]
    finder = Finder(ROOT, report=lambda _: None)
    return list(Reader(lambda _: None).documents(finder.find(paths)))


def ingest(client: RagClient, given: list[Document]) -> tuple[Counter[str], int, float]:
    """Stream documents in; give how many were created, unchanged ..., their chunks, and the seconds."""
    began = time.perf_counter()
    results = list(client.ingest_stream(given))
    seconds = time.perf_counter() - began
    for result in results:
        if result.error is not None:
            raise DemoError(f"{result.doc_id} was not taken: {result.error}")
    return Counter(result.status for result in results), sum(r.chunk_count for r in results), seconds


def ask(screen: Screen, client: RagClient) -> tuple[dict[Question, tuple[Hit, ...]], list[str]]:
    """Ask all questions and show what comes back; give the hits, and which sources were not found."""
    answers, faults = {}, []
    for question in QUESTIONS:
        began = time.perf_counter()
        hits = answers[question] = client.query(question.text, top_k=FIRST).hits
        screen.answer(question, hits, (time.perf_counter() - began) * 1000)
        if expected(question, hits) is None:
            faults.append(f"{question.source} is not among the first {FIRST} for: {question.text}")
    return answers, faults


def cite(screen: Screen, client: RagClient, answers: dict[Question, tuple[Hit, ...]]) -> list[str]:
    """Have a question answered whose source was found, and one that the documents do not answer."""
    faults = []
    found = [each.text for each in QUESTIONS if expected(each, answers[each])]
    for question, grounded in [(each, True) for each in found[:1]] + [(STRANGE, False)]:
        screen.title(f"\n   {question}")
        answer = client.generate_answer(question)
        screen.text(answer.text)
        for number in sorted({number for claim in answer.claims for number in claim.sources}):
            screen.line(f"[{number}] {answer.sources[number - 1].doc_id}")
        if answer.grounded is not grounded:
            faults.append(f"{'an' if answer.grounded else 'no'} answer to: {question}")
    return faults


def narrow(screen: Screen, client: RagClient) -> list[str]:
    """Ask the first question once more, of some of the documents alone."""
    of_contract = (Field("file", "path") > "proto/") & (Field("file", "path") < "proto0")
    count = client.count_documents(filter=of_contract)
    screen.line(f"filter: {of_contract}")
    result = client.query(QUESTIONS[0].text, top_k=FIRST, filter=of_contract, explain=True)
    for rank, hit in enumerate(result.hits, 1):
        parts = hit.parts
        words = (
            f"word rank {parts.lexical_rank or '-'}, meaning rank {parts.dense_rank or '-'}" if parts else ""
        )
        screen.line(f"{rank}. {hit.score:.3f}  {hit.doc_id}  ({words})")
    screen.line(
        f"{count} documents match; {result.plan.matching_chunks} passages, searched {result.plan.strategy}"
    )
    strangers = [hit.doc_id for hit in result.hits if not hit.doc_id.startswith("proto/")]
    return [f"{each} does not match the filter" for each in strangers]


def run(screen: Screen, server: Server) -> list[str]:
    """Show everything; give what was not as it should be."""
    screen.title("rag-grpc: documents go in over gRPC, the right passages come back")

    screen.step("Start a server on free ports, with an empty data folder")
    seconds = server.start()
    screen.line(f"ready after {seconds:.1f} s: gRPC {server.grpc_address}, metrics {server.http_address}")

    screen.step("Put in this project's own README, docs and protos")
    given = documents()
    with RagClient(server.grpc_address) as client:
        client.ping()  # opens the connection, so that times are those of calls alone
        counts, chunks, seconds = ingest(client, given)
        screen.line(f"{counts['created']} documents in {chunks} passages, all on disk, in {seconds:.2f} s")
        counts, _, seconds = ingest(client, given)
        screen.line(f"the same once more: {counts['unchanged']} unchanged, in {seconds:.2f} s")

        screen.step("Ask: score and source of the best hits, and the passage that answers")
        answers, faults = ask(screen, client)

        screen.step("Have a question answered from the passages, and one that they do not answer")
        faults += cite(screen, client, answers)

        screen.step("Ask the first question of the protos alone")
        faults += narrow(screen, client)

    screen.step("Kill the server with SIGKILL, start it on the same folder, ask again")
    server.kill()
    seconds = server.start()
    with RagClient(server.grpc_address) as client:
        kept = client.count_documents()
        screen.line(f"ready after {seconds:.1f} s: {kept} of {len(given)} documents are there")
        same = sum(client.query(each.text, top_k=FIRST).hits == answers[each] for each in QUESTIONS)
        screen.line(f"{same} of {len(QUESTIONS)} questions have the same hits with the same scores")
    if kept != len(given) or same != len(QUESTIONS):
        faults.append("the restart lost something")
    return faults


def main() -> int:
    """Run the demo, and clean up whatever happens."""
    # A demo that is told to end cleans up as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="rag-demo-") as folder:
        server = Server(Path(folder))
        try:
            faults = run(screen, server)
        except (DemoError, RagClientError, OSError) as error:
            print(f"\nThe demo could not go on: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("\nStopped; the server and its folder are gone.", file=sys.stderr)
            return 128 + signal.SIGINT
        finally:
            code = server.stop()
        if code != 0:
            faults.append(f"the server ended with exit code {code}, not 0")
    print()
    if faults:
        for fault in faults:
            print(f"Not as it should be: {fault}", file=sys.stderr)
        return 1
    print(textwrap.dedent(NEXT), end="")
    return 0


NEXT = """\
    All as it should be. The server is stopped and the scratch folder is gone.

    Next
      make serve                                 a server on 127.0.0.1:50051; in another terminal:
      .venv/bin/ragctl ingest docs proto         put documents in, or a folder of your own
      .venv/bin/ragctl query "your question"     ask
      README.md                                  the same by Python, grpcurl and curl
"""

if __name__ == "__main__":
    sys.exit(main())
