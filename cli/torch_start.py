"""Let torch start without what only tracing needs: a third of the processor time of ``import torch``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Shape rules for tensors without values: `torch.compile` and `torch.export` need them, running a network does not.
TRACING_MODULES = frozenset({"torch._meta_registrations", "torch.distributed._meta_registrations"})


class _Omitted(MetaPathFinder, Loader):
    """Finds the modules for tracing, and loads each as an empty module."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in TRACING_MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        return


def omit_tracing() -> None:
    """From now on, torch starts in this process without `TRACING_MODULES`.

    For processes of our own that run networks and neither compile nor export them. A torch that is loaded already stays whole.
    Processes that this one starts are not affected.
    """
    if "torch" not in sys.modules and not any(isinstance(finder, _Omitted) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Omitted())
