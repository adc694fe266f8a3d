"""For all tests: the product's logs are for operators, and examples are the same ones for everybody."""

import logging
from typing import Any

import structlog
from hypothesis import settings


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


structlog.configure(processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))

settings.register_profile("everywhere", derandomize=True, deadline=None, database=None)
settings.load_profile("everywhere")
