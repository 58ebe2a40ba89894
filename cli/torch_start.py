"""Import torch without the modules that only tracing needs. They take a third of the CPU time of ``import torch``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Shape rules for tensors without values. `torch.compile` and `torch.export` need them; inference does not.
TRACING_MODULES = frozenset({"torch._meta_registrations", "torch.distributed._meta_registrations"})


class _Omitted(MetaPathFinder, Loader):
    """Import hook: loads each of `TRACING_MODULES` as an empty module."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in TRACING_MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        return


def omit_tracing() -> None:
    """Make a later ``import torch`` in this process leave out `TRACING_MODULES`.

    Call it only in processes that neither compile nor export networks. It has no effect if torch has been imported already, and
    none on child processes.
    """
    if "torch" not in sys.modules and not any(isinstance(finder, _Omitted) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Omitted())
