"""What talks to each peer through its own client; runs as a process with the Python that has that client."""
