"""How many histories: the same ones each time for everybody, ten times as many and new ones for TRAILKEEP_LONG=1."""

import os

from hypothesis import HealthCheck, Phase, settings

FAST = settings(
    max_examples=250,
    stateful_step_count=22,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)

settings.register_profile("fast", FAST)
settings.register_profile("long", FAST, max_examples=2500, derandomize=False, print_blob=True)
settings.register_profile("unshrunk", FAST, phases=[Phase.generate])
settings.load_profile(
    "long" if os.environ.get("TRAILKEEP_LONG") else "unshrunk" if os.environ.get("TRAILKEEP_UNSHRUNK") else "fast"
)
