"""How each contender's server is started; ports are free ones, data is in a folder of the run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.environment import PYTHON, WEAVIATE, program
from benchmarks.peers.processes import Child, free_ports

LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a contender is: its driver, the Python that runs it, its package, the wire."""

    driver: str
    python: str
    package: str
    start: Callable[[Path, list[int]], Child] | None = None
    ports: int = 0
    """How many ports it needs; calls go to the first, HTTP beside gRPC is the second."""
    waits: int = 1
    """How many of them have to listen before it is used."""
    method: str = ""
    """The gRPC method of a query; empty for HTTP and for what has no server."""


def _own(folder: Path, ports: list[int]) -> Child:
    environment = {
        "RAG_LISTEN": f"{LOCAL}:{ports[0]}",
        "RAG_HTTP_LISTEN": f"{LOCAL}:{ports[1]}",
        "RAG_DATA_DIR": str(folder / "data"),
        "RAG_LOG_FORMAT": "json",
        "RAG_DRAIN_PAUSE": "0",
    }
    return Child([sys.executable, "-m", "rag_grpc", "serve"], folder / "log", environment)


def _chroma(folder: Path, ports: list[int]) -> Child:
    command = [program("chroma"), "run", "--host", LOCAL, "--port", str(ports[0])]
    return Child([*command, "--path", str(folder / "data")], folder / "log")


def _milvus_lite(folder: Path, ports: list[int]) -> Child:
    command = [program("milvus-lite"), "server", "--host", LOCAL, "--port", str(ports[0])]
    return Child([*command, "--data-dir", str(folder / "data")], folder / "log")


def _milvus(folder: Path, ports: list[int]) -> Child:
    # It needs 2379, 2380 and 9091 too, whatever it is told.
    parts = (
        "proxy",
        "etcd",
        "root-coord",
        "proxy-internal",
        "query-coord",
        "query-node",
        "index-coord",
        "index-node",
        "data-coord",
        "data-node",
    )
    options = [
        word for part, port in zip(parts, ports, strict=True) for word in (f"--{part}-port", str(port))
    ]
    return Child([program("milvus-server"), "--data", str(folder / "data"), *options], folder / "log")


def _weaviate(folder: Path, ports: list[int]) -> Child:
    grpc, http, raft, raft_internal, gossip, data = map(str, ports)
    environment = {
        "PERSISTENCE_DATA_PATH": str(folder / "data"),
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "CLUSTER_ADVERTISE_ADDR": LOCAL,
        "CLUSTER_DATA_BIND_PORT": data,
        "CLUSTER_GOSSIP_BIND_PORT": gossip,
        "CLUSTER_HOSTNAME": "node1",
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "GRPC_PORT": grpc,
        "LOG_LEVEL": "warning",
        "RAFT_BOOTSTRAP_EXPECT": "1",
        "RAFT_INTERNAL_RPC_PORT": raft_internal,
        "RAFT_PORT": raft,
    }
    command = [str(WEAVIATE), "--host", LOCAL, "--port", http, "--scheme", "http"]
    return Child(command, folder / "log", environment)


OWN = "rag-grpc"
MILVUS_SEARCH = "/milvus.proto.milvus.MilvusService/Search"
KINDS = {
    OWN: Kind("own", sys.executable, OWN, _own, 2, 2, "/ragapi.v1.RetrievalService/Query"),
    "Chroma": Kind("chroma", str(PYTHON), "chromadb", _chroma, 1),
    "Milvus Lite": Kind("milvus", str(PYTHON), "milvus-lite", _milvus_lite, 1, 1, MILVUS_SEARCH),
    "Milvus": Kind("milvus", str(PYTHON), "milvus", _milvus, 10, 1, MILVUS_SEARCH),
    "Weaviate": Kind("weaviate", str(PYTHON), "weaviate", _weaviate, 6, 2, "/weaviate.v1.Weaviate/Search"),
    "LanceDB": Kind("lance", str(PYTHON), "lancedb"),
}


def available() -> list[str]:
    """Return the contenders that this machine has, the own one first."""
    names = [OWN]
    if PYTHON.exists():
        names += [name for name in KINDS if name != OWN and (name != "Weaviate" or WEAVIATE.exists())]
    return names


def ports_of(kind: Kind) -> list[int]:
    """Return free ports for a server of this kind."""
    return free_ports(kind.ports)
