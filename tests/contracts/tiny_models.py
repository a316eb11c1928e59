"""Tiny models as they lie on disk, made on the spot: an ONNX graph, a tokenizer, a few settings.

They do with a table of numbers what real ones do with millions: an embedder gives each
token its row of the table, a pair model counts what two texts have in common.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tokenizers
from onnx import TensorProto, helper, numpy_helper
from tokenizers import models, normalizers, pre_tokenizers, processors

DIMENSION = 16
WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]"),
    *("hello", "world", "harbour", "full", "of", "ships", "nine", "quick", "jackdaws"),
    *("word", "one", "two", "three", "a", "the", "text", "several", "words", "is"),
    *("query", "passage", "question", "an", "answer", ":", ",", ".", "!"),
    *("\u4e16", "\u754c", "\u6e2f", "\u53e3", "h", "##\u00e5", "##s", "##ing", "##e"),
]

NLI_LABELS = ("contradiction", "neutral", "entailment")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def tiny_embedder(
    folder: Path, *, quantised: bool = False, dimension: int = DIMENSION, positions: int = 64
) -> Path:
    """Make an embedder's folder: last_hidden_state is a row of a table for each token, by its place too.

    `quantised` multiplies as dynamically quantised models do, by the scale of the whole batch.
    """
    table = _numbers(len(WORDS), dimension)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    weights = {"table": table}
    if quantised:
        nodes += [
            helper.make_node("DynamicQuantizeLinear", ["rows"], ["small", "scale", "zero"]),
            helper.make_node("DequantizeLinear", ["small", "scale", "zero"], ["last_hidden_state"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["rows"], ["last_hidden_state"]))
    return _write(folder, nodes, weights, ("last_hidden_state", ["batch", "seq", dimension]), positions)


def tiny_pair_model(folder: Path, *, outputs: int = 1, positions: int = 64) -> Path:
    """Make a cross-encoder's folder: the logit is the product of what query and text sum up to."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Sub", ["one", "token_type_ids"], ["first"]),
        helper.make_node("Mul", ["attention_mask", "first"], ["query_mask"]),
        helper.make_node("Mul", ["attention_mask", "token_type_ids"], ["text_mask"]),
    ]
    for side in ("query", "text"):
        nodes += [
            helper.make_node("Cast", [f"{side}_mask"], [f"{side}_float"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", [f"{side}_float", "last"], [f"{side}_wide"]),
            helper.make_node("Mul", ["rows", f"{side}_wide"], [f"{side}_rows"]),
            helper.make_node("ReduceSum", [f"{side}_rows", "middle"], [f"{side}_sum"], keepdims=0),
        ]
    nodes += [
        helper.make_node("Mul", ["query_sum", "text_sum"], ["product"]),
        helper.make_node("ReduceSum", ["product", "middle"], ["score"], keepdims=1),
        helper.make_node("MatMul", ["score", "classes"], ["logits"]),
    ]
    classes = np.array([[1.0], [-1.0, 1.0], [1.0, 2.0, 3.0]][outputs - 1 : outputs], np.float32)
    weights: dict[str, Any] = {
        "table": _numbers(len(WORDS), 64),
        "one": np.array(1, np.int64),
        "last": np.array([2], np.int64),
        "middle": np.array([1], np.int64),
        "classes": classes,
    }
    return _write(folder, nodes, weights, ("logits", ["batch", outputs]), positions)


def tiny_nli_model(folder: Path, *, labels: Sequence[str] = NLI_LABELS, positions: int = 64) -> Path:
    """Make a folder of a model of inference: the more two texts share, the more its last class is meant."""
    tiny_pair_model(folder, outputs=len(NLI_LABELS), positions=positions)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(number): label for number, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _numbers(rows: int, columns: int) -> Any:
    table = np.random.default_rng(7).normal(size=(rows, columns)).astype(np.float32)
    # The model's own tokens count for nothing between two texts.
    table[:4] *= np.float32(0.01)
    return table / np.float32(np.sqrt(columns))


def _write(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, Any],
    output: tuple[str, list[str | int]],
    positions: int,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "seq"]) for name in _INPUTS],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))
    _tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(
        json.dumps({"model_type": "bert", "max_position_embeddings": positions, "pad_token_id": 0})
    )
    return folder


def _tokenizer() -> tokenizers.Tokenizer:
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106 # no password
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    return tokenizer
