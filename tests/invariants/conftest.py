"""One thread, as for the unit tests."""

from tests.unit.rlhf_core.conftest import one_thread

__all__ = ["one_thread"]
