"""The default store: SQLite as the truth and indexes that can be thrown away, all on this disk."""
