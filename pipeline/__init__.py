"""The engine: stages in groups, run inline or on Ray. It knows nothing of faces."""

from pipeline.threads import wait_passively

__version__ = "0.1.0"

wait_passively()  # here, because every entry point comes by here before it loads a numeric library
