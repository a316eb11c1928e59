"""`python -m benchmarks`: measure, and print a table."""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import asdict
from pathlib import Path

from benchmarks.throughput import measure, report


def main() -> None:
    """Measure throughput and print ratios to the bare index."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="vectors in the collection")
    parser.add_argument("--ingest-rounds", type=int, default=3, help="times that everything is ingested")
    parser.add_argument("--full", action="store_true", help="more rounds")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    rates = measure(arguments.count, 5 if arguments.full else arguments.ingest_rounds)
    ratios = report(rates)
    for name, values in asdict(rates).items():
        if isinstance(values, list):
            print(f"{name:18} {statistics.median(values):10,.0f} /s   each: {[round(one) for one in values]}")
    for name, values in rates.alone.items():
        print(f"{name:18} {statistics.median(values) * 1e6:10,.0f} us, one at a time")
    for name, value in rates.recalls.items():
        print(f"recall@10 {name:10} {value:.4f}")
    for name, value in ratios.items():
        print(f"{value:6.3f}  {name}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"rates": asdict(rates), "ratios": ratios}, indent=1))


if __name__ == "__main__":
    main()
