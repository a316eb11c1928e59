"""How good answers are: whether they hold what was asked for, and whether they know when they do not."""
