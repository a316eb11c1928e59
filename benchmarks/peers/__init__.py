"""This server beside others on one machine: same vectors and queries, recall matched (`make bench-peers`)."""
