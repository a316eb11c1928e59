"""rag-grpc where users already are: one package a framework, each with an extra of its own.

`rag_client` itself imports none of them. Whoever imports one without its framework is told what to install.
"""
