"""The engine: it runs a graph of stages, in one process or on Ray. It knows nothing of faces."""

from pipeline.threads import set_passive_wait

__version__ = "0.1.0"

set_passive_wait()  # here, because every entry point imports this before a numeric library
