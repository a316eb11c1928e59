"""How well the service finds: real collections with judged questions, through a real server."""
