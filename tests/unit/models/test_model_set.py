"""The models of a server: made from settings, loaded later, and every fault told at once."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rag_grpc.core.errors import NotReady
from rag_grpc.embedders.fastembed import FastembedEmbedder
from rag_grpc.environment import Secret, SettingsFault
from rag_grpc.model_set import ModelSet
from rag_grpc.settings import Settings
from tests.contracts.tiny_models import DIMENSION, tiny_embedder, tiny_pair_model

OPENAI = "small=openai:text-embedding-3-small"


def settings(*embedders: str, rerankers: tuple[str, ...] = (), **changes: Any) -> Settings:
    return replace(Settings(), embedders=embedders, rerankers=rerankers, **changes)


def faults(made: Settings) -> list[str]:
    with pytest.raises(SettingsFault) as caught:
        ModelSet(made)
    return caught.value.faults


async def test_models_are_there_after_loading_and_not_before(tmp_path: Path) -> None:
    model, pair = tiny_embedder(tmp_path / "e"), tiny_pair_model(tmp_path / "r")
    counted: list[bool] = []
    models = ModelSet(
        settings("tiny=fastembed:" + str(model), "mock", rerankers=(f"cross=fastembed:{pair}",)),
        counted=counted.append,
    )
    assert list(models.embedders) == ["tiny", "mock"]
    assert list(models.rerankers) == ["cross"]
    tiny, cross = models.embedders["tiny"], models.rerankers["cross"]
    assert (tiny.name, cross.name) == ("tiny", "cross")
    with pytest.raises(NotReady):
        _ = tiny.fingerprint
    with pytest.raises(NotReady):
        tiny.embed(["a"])
    with pytest.raises(NotReady):
        cross.score("a", ["b"])
    await models.load()
    assert tiny.embed_queries(["a", "a"]).shape == (2, DIMENSION)
    assert tiny.embed_queries(["a"]).shape == (1, DIMENSION)
    assert cross.score("a", ["b"]).shape == (1,)
    assert counted == [False, False, True]
    models.close()


async def test_a_model_that_cannot_be_loaded_is_a_fault_of_its_setting(tmp_path: Path) -> None:
    good, bad = tiny_embedder(tmp_path / "good"), tiny_embedder(tmp_path / "bad")
    (bad / "model.onnx").write_bytes(b"no model")
    models = ModelSet(settings(f"good=fastembed:{good}", f"bad=fastembed:{bad}"))
    with pytest.raises(SettingsFault, match=r"RAG_EMBEDDERS: bad: .*model.onnx' cannot be loaded"):
        await models.load()


def test_whoever_gives_up_waiting_waits_for_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began, goes_on = threading.Event(), threading.Event()

    def slow(_: object) -> None:
        began.set()
        goes_on.wait(30)

    monkeypatch.setattr(FastembedEmbedder, "load", slow)
    models = ModelSet(settings(f"tiny=fastembed:{tiny_embedder(tmp_path)}"))

    async def give_up() -> None:
        loading = asyncio.create_task(models.load())
        assert await asyncio.to_thread(began.wait, 10)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading

    # asyncio.run waits for its own pool of threads when it ends.
    asyncio.run(asyncio.wait_for(give_up(), 20))
    (thread,) = [each for each in threading.enumerate() if each.name == "load-tiny"]
    assert thread.is_alive()
    assert thread.daemon
    goes_on.set()
    thread.join(10)
    assert not thread.is_alive()


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    half = tiny_embedder(tmp_path / "half")
    (half / "tokenizer.json").unlink()
    found = faults(
        settings(
            "clever",
            "a=clever:x",
            f"b=fastembed:{tmp_path}/missing",
            f"c=fastembed:{empty}",
            f"d=fastembed:{half}",
            f"e=fastembed:{half}?pool=mean",
            f"f=fastembed:{half}?pooling=max",
            "g=openai:own-model?base_url=http://127.0.0.1:1/v1",
            OPENAI,
            "h=openai:text-embedding-3-small?api_key_file=/nowhere",
            rerankers=("mock", "a=openai:x", f"b=fastembed:{empty}"),
            judges=(
                "clever",
                "a=clever:x",
                "b=lexical:german",
                "c=lexical:de?stem=yes",
                f"d=nli:{empty}",
                "e=openai:gpt",
            ),
        )
    )
    assert [fault.split("; ")[0] for fault in found] == [
        "RAG_EMBEDDERS: there is no 'clever'",
        "RAG_EMBEDDERS: a: there is no kind 'clever'",
        f"RAG_EMBEDDERS: b: there is no folder '{tmp_path}/missing'",
        f"RAG_EMBEDDERS: c: '{empty}' has no model.onnx",
        f"RAG_EMBEDDERS: d: '{half}' has no tokenizer.json, without which no text can be read",
        "RAG_EMBEDDERS: e: there is no option 'pool'",
        "RAG_EMBEDDERS: f: option 'pooling': 'max' is none of mean, cls, last",
        "RAG_EMBEDDERS: g: say how long its vectors are, as in `?dimension=768`",
        "RAG_EMBEDDERS: small: RAG_OPENAI_API_KEY is not set, without which OpenAI answers nothing",
        "RAG_EMBEDDERS: h: the key cannot be read from '/nowhere': FileNotFoundError",
        "RAG_RERANKERS: there is no kind 'mock'",
        "RAG_RERANKERS: a: there is no kind 'openai'",
        f"RAG_RERANKERS: b: '{empty}' has no model.onnx",
        "RAG_JUDGES: there is no 'clever'",
        "RAG_JUDGES: a: there is no kind 'clever'",
        "RAG_JUDGES: b: 'german' is no language",
        "RAG_JUDGES: c: there is no option 'stem'",
        f"RAG_JUDGES: d: '{empty}' has no model.onnx",
        "RAG_JUDGES: e: RAG_OPENAI_API_KEY is not set, without which OpenAI answers nothing",
    ]


def test_a_name_that_fastembed_does_not_know_is_a_fault() -> None:
    found = faults(settings("a=fastembed:nobody/model", rerankers=("b=fastembed:nobody/model",)))
    assert [fault.split(", and ")[1] for fault in found] == [
        "fastembed knows no embedding model of that name",
        "fastembed knows no cross-encoder of that name",
    ]


def test_a_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    found = faults(settings(f"a=fastembed:{tmp_path}", OPENAI, rerankers=(f"b=fastembed:{tmp_path}",)))
    assert [fault.split(": ")[-1] for fault in found] == [
        "pip install 'rag-grpc[fastembed]'",
        "pip install 'rag-grpc[openai]'",
        "pip install 'rag-grpc[fastembed]'",
    ]


def test_a_server_without_such_models_imports_none_of_their_libraries() -> None:
    program = (
        "import sys; from rag_grpc.model_set import ModelSet; from rag_grpc.settings import Settings;"
        " ModelSet(Settings());"
        " print(sorted({'onnxruntime', 'tokenizers', 'fastembed', 'openai'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def openai_options(made: Settings) -> Any:
    (embedder,) = ModelSet(replace(made, query_cache_bytes=0)).embedders.values()
    return embedder._options  # type: ignore[attr-defined] # of the adapter, not of the port


def test_a_key_goes_to_the_place_that_it_was_given_for(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("other\n")
    with_key = replace(Settings(), openai_api_key=Secret("hunter2"))
    ours = openai_options(replace(with_key, embedders=(OPENAI,)))
    assert (ours.base_url, ours.api_key) == ("https://api.openai.com/v1", "hunter2")
    assert "hunter2" not in repr(ours)
    elsewhere = f"{OPENAI}?base_url=http://127.0.0.1:1/v1"
    theirs = openai_options(replace(with_key, embedders=(elsewhere,)))
    assert (theirs.base_url, theirs.api_key) == ("http://127.0.0.1:1/v1", "")
    named = openai_options(replace(with_key, embedders=(f"{elsewhere}&api_key_file={tmp_path}/key",)))
    assert named.api_key == "other"


def test_the_dimension_is_known_or_said() -> None:
    made = replace(Settings(), openai_base_url="http://127.0.0.1:1/v1")
    for spec, dimension, shorten in (
        (OPENAI, 1536, False),
        (f"{OPENAI}?dimension=512", 512, True),
        ("a=openai:own?dimension=768", 768, False),
        ("a=openai:own?dimension=256&shorten=true", 256, True),
    ):
        options = openai_options(replace(made, embedders=(spec,)))
        assert (options.dimension, options.shorten) == (dimension, shorten)
