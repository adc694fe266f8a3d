from tests.acceptance.conftest import empty_store

__all__ = ["empty_store"]
