"""Streaming ingest: documents in, results out, in order, over as many connections as it takes.

`packing` groups documents into messages, `window` knows what is under way and what has to be sent again, and
neither touches a socket or a clock of its own. `blocking` (threads) and `asynchronous` (tasks) only carry
their messages.
"""
