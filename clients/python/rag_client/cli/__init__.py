"""ragctl."""
