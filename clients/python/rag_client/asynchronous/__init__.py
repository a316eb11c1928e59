"""The asyncio client, one service a module: the same methods as the sync one, held equal by a test."""
