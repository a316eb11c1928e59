"""Adapters of Analyzer: what lexical search takes as the words of a text."""
