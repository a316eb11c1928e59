"""`python -m benchmarks.peers`: measure this server beside those that are installed."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Table
from benchmarks.machine import machine, versions
from benchmarks.peers import environment
from benchmarks.peers.contender import contender
from benchmarks.peers.measuring import Measuring, save_vectors
from benchmarks.peers.servers import KINDS, OWN, available
from benchmarks.vectors import clustered

BATCHES = ((200, 4), (1000, 1), (1000, 4), (5000, 1), (5000, 2))


def main() -> None:
    """Measure this server beside its peers: same vectors, same queries, recall matched."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--install", action="store_true", help="make the peers' environment first")
    parser.add_argument("--only", nargs="+", choices=KINDS, help="measure these alone")
    parser.add_argument("--count", type=int, default=100_000, help="vectors in the collection")
    parser.add_argument("--ingest-rounds", type=int, default=1, help="times that everything is ingested")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of queries")
    parser.add_argument("--batches", action="store_true", help="look for each one's best batch, and end")
    parser.add_argument("--scratch", type=Path, help="make the run's folder in here")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plots", type=Path, help="draw into this folder")
    arguments = parser.parse_args()
    if arguments.install:
        environment.install()
    # So that servers are ended when this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    names = arguments.only or available()
    if names == [OWN]:
        print("No peer is installed; python -m benchmarks.peers --install does it.")
    with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
        if arguments.batches:
            look_for_batches(names, arguments.count, Path(scratch))
        else:
            measure(arguments, names, Path(scratch))


def measure(arguments: argparse.Namespace, names: list[str], scratch: Path) -> None:
    """Measure, print the table and the ratios, write what was asked for."""
    own_first = [OWN, *(name for name in names if name != OWN)]
    measuring = Measuring(own_first, arguments.count, scratch)
    results = measuring.results
    results.machine = machine()
    results.versions = versions()
    if names != [OWN]:
        results.versions |= {f"peers' {name}": each for name, each in environment.package_versions().items()}
    for _stage in measuring.stages(arguments.ingest_rounds, arguments.rounds):
        if arguments.json:
            # What was measured is kept where the run is broken off.
            arguments.json.parent.mkdir(parents=True, exist_ok=True)
            arguments.json.write_text(results.as_json())
    print(f"\n{results.table()}\n")
    table = Table()
    for figure in results.checks():
        table.add(figure)
    table.end(None)
    if arguments.plots:
        # It needs matplotlib, which only this option does.
        from benchmarks.plots import draw_peers  # noqa: PLC0415

        draw_peers(results, arguments.plots)


def look_for_batches(names: list[str], count: int, scratch: Path) -> None:
    """Print the rate of ingest for each size of batch and number of writers."""
    data = scratch / "vectors"
    save_vectors(clustered(count), data)
    for batch, writers in BATCHES:
        for name in names:
            try:
                with contender(name, data, scratch / f"{name}-{batch}-{writers}") as one:
                    seconds = one.ingest(count, batch, writers)
            except RuntimeError as error:
                print(f"{name:12} {batch:6} rows, {writers} writers: {error}", flush=True)
                continue
            rates = [count / seconds[moment] for moment in ("searchable", "indexed")]
            print(
                f"{name:12} {batch:6} rows, {writers} writers: {rates[0]:8,.0f} rows a second, "
                f"{rates[1]:8,.0f} until indexed",
                flush=True,
            )


if __name__ == "__main__":
    main()
