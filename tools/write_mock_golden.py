"""Write the mock embedder's golden vectors anew, for the texts in tests/unit/embedders/mock_golden.json.

Only after a change of the vectors that is meant: every collection that was made with
the old ones then answers EMBEDDER_MISMATCH until it is embedded again. A text is
`text` repeated `times`, so that a megabyte fits in a line.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from rag_grpc.embedders.mock import MockEmbedder

TARGET = Path(__file__).parent.parent / "tests" / "unit" / "embedders" / "mock_golden.json"


def main() -> None:
    """Embed each text and write what the test compares."""
    golden = json.loads(TARGET.read_text("utf-8"))
    embedder = MockEmbedder()
    golden["fingerprint"] = embedder.fingerprint
    for entry in golden["texts"]:
        packed = embedder.embed([entry["text"] * entry["times"]])[0].astype("<f4").tobytes()
        entry["sha256"] = hashlib.sha256(packed).hexdigest()
        entry["first"] = packed[:32].hex(" ", 4)
        if "whole" in entry:
            entry["whole"] = packed.hex()
    TARGET.write_text(json.dumps(golden, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
