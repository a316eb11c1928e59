"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# No test is about time: on a busy machine one example may take seconds, which is no failure.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
