"""What adapters share that ask a model behind OpenAI's protocol: the connection, and what goes wrong with it.

No port is implemented here.
"""
