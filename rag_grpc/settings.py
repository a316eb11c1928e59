"""What an operator can choose, with what it means and what it is if nobody chooses.

A frozen value, made once at the start and handed down; nothing else reads the
environment. docs/settings.md is tested against this file.
"""
# ruff: noqa: RUF009 # `setting` makes a dataclasses.field, which is what belongs there

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from rag_grpc.environment import (
    Secret,
    SettingsFault,
    address,
    duration,
    hosts,
    one_of,
    optional_path,
    path,
    read,
    secret,
    setting,
    share,
    size,
    url,
    whole,
)
from rag_grpc.event_loop import EventLoop
from rag_grpc.logs import LogFormat
from rag_grpc.model_spec import models

ENV_FILE = Path(".env")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. A field `listen` is set by the variable RAG_LISTEN. Times are in seconds."""

    listen: str = setting(
        "127.0.0.1:50051",
        address,
        "Where gRPC is served, as HOST:PORT. Port 0 takes any that is free; the event `listening` names it.",
    )
    http_listen: str = setting(
        "127.0.0.1:8000",
        address,
        "Where /metrics, /healthz and /readyz are served, and the page for people, as HOST:PORT.",
    )
    page: str = setting(
        "auto",
        one_of("auto", "on", "off"),
        "Whether the page is served there, at /. It shows documents to whoever reaches it, so `auto` serves"
        " it where only this machine does: on 127.0.0.1, [::1] or localhost.",
    )
    page_hosts: tuple[str, ...] = setting(
        "",
        hosts,
        "Further names that the page may be asked for by, such as that of a proxy before it, with commas"
        " between them. It is refused under any other.",
    )
    data_dir: Path = setting(
        "./rag-data",
        path,
        "The folder that holds everything; made where it is missing. One server at a time may use it.",
    )
    store: str = setting(
        "embedded",
        one_of("embedded", "memory"),
        "`embedded` keeps documents in the data folder; `memory` forgets them when the server stops.",
    )
    embedders: tuple[str, ...] = setting(
        "mock",
        models,
        "The embedders that collections can name, with commas between them; the first is the default. Below"
        " is how each is written.",
    )
    rerankers: tuple[str, ...] = setting(
        "",
        models,
        "The cross-encoders that queries can name, likewise; the first is the default. Empty means none.",
    )
    generators: tuple[str, ...] = setting(
        "extractive",
        models,
        "The generators that answer questions, likewise; the first is the default. Empty means none.",
    )
    grounding_threshold: float = setting(
        "0.16",
        share,
        "The support from which on an answer counts as grounded; below it the answer says that the sources"
        " hold none. generation.md says what it was chosen on.",
    )
    answer_timeout: float = setting(
        "2m",
        duration("100ms", "1h"),
        "How long a generator far away may take for an answer, tries and pauses together; then it is"
        " MODEL_UNAVAILABLE.",
    )
    judges: tuple[str, ...] = setting(
        "lexical",
        models,
        "The judges that say how far sources support a sentence, likewise; the first is the default.",
    )
    model_cache: Path = setting(
        "~/.cache/rag-grpc/models", path, "Where models are kept that are fetched by name."
    )
    model_threads: int = setting(
        "0",
        whole(0, 256),
        "Threads that one call of a model computes on; 0 means half as many as there are processors at hand.",
    )
    query_cache_bytes: int = setting(
        "16MiB",
        size("0", "16GiB"),
        "Memory, for each embedder that runs a model, for the embeddings of queries that were asked before."
        " 0 means none.",
    )
    rerank_timeout: float = setting(
        "10s",
        duration("10ms", "10m"),
        "How long a cross-encoder may read the candidates of one query; then it is MODEL_UNAVAILABLE.",
    )
    judge_timeout: float = setting(
        "30s",
        duration("10ms", "10m"),
        "How long a judge that is a model may weigh a batch of sentences; then it is MODEL_UNAVAILABLE.",
    )
    openai_base_url: str = setting(
        "https://api.openai.com/v1",
        url,
        "Where the models of kind `openai` are served that name no other place.",
    )
    openai_api_key: Secret = setting("", secret, "The key for that place.", secret=True)
    openai_timeout: float = setting(
        "30s",
        duration("100ms", "10m"),
        "How long a batch of texts may take there, tries and pauses together, and how long the next piece of"
        " an answer; then it is MODEL_UNAVAILABLE.",
    )
    openai_retries: int = setting(
        "3", whole(0, 20), "How often what was turned away or got no answer is tried again."
    )
    canary_file: Path | None = setting(
        "",
        optional_path,
        "A file of questions with known answers that the server asks itself at an interval; see"
        " monitoring.md. Empty means none.",
    )
    canary_interval: float = setting(
        "15m",
        duration("1s", "24h"),
        "How long after the beginning of a run of these questions the next one begins.",
    )
    log_format: LogFormat = setting(
        "auto",
        one_of("auto", "json", "console"),
        "`json` writes a line of JSON an event, `console` is for people; `auto` means this on a terminal.",
    )
    log_level: str = setting(
        "info",
        one_of("debug", "info", "warning", "error"),
        "Events below it are not written. `debug` also shows health checks.",
    )
    event_loop: EventLoop = setting(
        "uvloop",
        one_of("asyncio", "uvloop"),
        "Which event loop runs the server. uvloop needs less processor time a call.",
    )
    grace: float = setting(
        "20s",
        duration("0s", "1h"),
        "How long calls in flight may take when the server stops; what runs on is cancelled then.",
    )
    drain_pause: float = setting(
        "1s",
        duration("0s", "5m"),
        "How long a server that was told to stop serves on while it says NOT_SERVING, so that load balancers"
        " notice. Ctrl-C skips it.",
    )
    max_request_bytes: int = setting(
        "16MiB",
        size("64KiB", "1GiB"),
        "The largest request; GetServerInfo tells it. Each write in flight may hold as much memory.",
    )
    ingest_budget_bytes: int = setting(
        "256MiB",
        size("1MiB", "64GiB"),
        "Bytes of documents that are worked on at once. While it is used up, streams are not read on and"
        " writes wait.",
    )
    max_reads: int = setting(
        "1024", whole(1, 100_000), "Reads that run at once; more are turned away with RATE_LIMITED."
    )
    max_writes: int = setting(
        "256",
        whole(1, 100_000),
        "Writes, other than streams, that run at once; more are turned away likewise.",
    )
    max_streams: int = setting(
        "64", whole(1, 100_000), "Streams that are open at once; more are turned away likewise."
    )
    max_collections: int = setting("10000", whole(1, 1_000_000), "Collections that can be there at once.")
    disk_reserve_bytes: int = setting(
        "64MiB",
        size("0", "1TiB"),
        "Free disk space below which documents are refused with STORAGE_FULL. Deletions may use it.",
    )
    threads: int = setting(
        "0",
        whole(0, 256),
        "Threads that search, and threads that build a graph; 0 means one for each processor at hand.",
    )
    hnsw_m: int = setting(
        "16", whole(2, 128), "Links of a node in a graph: more find better and take more memory."
    )
    hnsw_ef_construction: int = setting(
        "100",
        whole(8, 4096),
        "Candidates looked at when a node is linked: more find better and insert slower.",
    )
    hnsw_ef: int = setting(
        "100",
        whole(1, 4096),
        "Candidates looked at in a search that names no `ef`: more find better, slower.",
    )
    graph_from: int = setting(
        "4096",
        whole(1, 100_000_000),
        "Chunks from which on a collection is searched through a graph; smaller ones are compared exactly.",
    )
    snapshot_after: float = setting(
        "10s",
        duration("1ms", "24h"),
        "A graph is saved when it would take that long to put in again what came since the last time.",
    )
    keepalive_interval: float = setting(
        "30s", duration("1s", "24h"), "After that long without a word a caller is asked whether it is there."
    )
    keepalive_timeout: float = setting(
        "10s", duration("100ms", "1h"), "How long it may take to say so before its connection is closed."
    )
    keepalive_tolerated: float = setting(
        "10s",
        duration("0s", "1h"),
        "How often callers without an open call may ask the server the same; those who ask more often are cut"
        " off.",
    )


def load(
    environ: Mapping[str, str] | None = None, env_file: Path | None = None
) -> tuple[Settings, list[str]]:
    """Read the environment and a .env file; the environment wins. Also gives unknown RAG_ names.

    Without `env_file`, `.env` in the working folder is read if it is there. Raises SettingsFault.
    """
    if env_file is not None and not env_file.is_file():
        raise SettingsFault([f"--env-file: there is no file {str(env_file)!r}"])
    # Taken as it stands: a $ in a secret is a $.
    written = dotenv_values(env_file or ENV_FILE, interpolate=False)
    variables = {name: value for name, value in written.items() if value is not None}
    return read(Settings, {**variables, **(os.environ if environ is None else environ)})
