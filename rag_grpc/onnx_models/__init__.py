"""Running transformer models from ONNX files: what embedders and re-rankers of that kind share.

No port is implemented here, and the libraries of the extra `fastembed` are imported
here and nowhere else: onnxruntime and tokenizers to run a model, fastembed itself only
to fetch one that is named, docs/decisions/0010 says why.
"""
