"""Adapters of the Reranker port: what reads a query and a text together."""
