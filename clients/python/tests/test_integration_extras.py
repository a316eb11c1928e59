"""Without its framework, an integration says what to install; and the client itself needs none of them."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("integration", "framework"), [("langchain", "langchain_core"), ("llamaindex", "llama_index")]
)
def test_a_missing_framework_is_named_with_its_extra(integration: str, framework: str) -> None:
    program = f"import sys; sys.modules[{framework!r}] = None\nimport rag_client.integrations.{integration}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert f"pip install 'rag-grpc-client[{integration}]'" in done.stderr.splitlines()[-1]


def test_the_client_imports_no_framework() -> None:
    program = (
        "import sys, rag_client; print({'langchain_core', 'llama_index', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
