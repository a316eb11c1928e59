"""Measurements, as ratios to what the machine can do without this service. Run by `make bench`."""
