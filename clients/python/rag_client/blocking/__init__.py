"""The sync client, one service a module."""
