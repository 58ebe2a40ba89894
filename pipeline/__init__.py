"""The engine: it runs a graph of stages, in one process or on Ray. It is independent of face recognition."""

from pipeline.threads import set_passive_wait

__version__ = "0.1.0"

set_passive_wait()  # set here, because every entry point imports this package before a numeric library
