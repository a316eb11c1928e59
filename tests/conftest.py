"""What holds for all tests."""

import gc

from hypothesis import HealthCheck, settings

# No test is about time: on a busy machine one example may take seconds, which is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Collecting six thousand tests imports thousands of modules, which all stay: looking for garbage among them
# takes a tenth of that time, in each worker.
gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage from now on, and not at what stays."""
    gc.collect()
    gc.freeze()
    gc.enable()
