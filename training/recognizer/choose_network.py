"""Build the network of ``--network``: the project's own, an iResNet as in the papers, or a user's torch module."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from models.networks.iresnet import IResNet
from models.networks.recognizer import Recognizer
from training.common.runs import provenance_of

NETWORKS: dict[str, type[nn.Module]] = {"Recognizer": Recognizer, "IResNet": IResNet}


def load_custom_network(named: str) -> type[nn.Module]:
    """Import the class named package.module:Class. Raises SystemExit if it cannot be imported."""
    module, _, name = named.partition(":")
    try:
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError, ValueError) as error:
        raise SystemExit(f"--network {named}: {error}") from None


def build_network(args: Any) -> tuple[nn.Module, dict[str, Any]]:
    """Build the network of ``--network``.

    Args:
        args: parsed options of `training.recognizer.train`.

    Returns:
        The network and its constructor keywords.

    Raises:
        SystemExit: the network is unknown, or a custom one lacks part of the interface.
    """
    if args.network == "small":
        begun = provenance_of(args.start).architecture if args.start else {}
        arguments = {"depths": args.depths} if args.depths else begun
        return Recognizer(**arguments), arguments
    if ":" in args.network:
        try:
            own = load_custom_network(args.network)()
        except TypeError as error:
            raise SystemExit(f"--network {args.network}: {error}") from None
        if lacking := {"side", "widths", "dim", "with_features"} - set(dir(own)):
            raise SystemExit(f"--network {args.network} lacks {', '.join(sorted(lacking))}: see models/networks/recognizer.py")
        return own, {}
    if args.network not in ("iresnet18", "iresnet50"):
        raise SystemExit(f"--network {args.network}: must be small, iresnet18, iresnet50 or package.module:Class")
    arguments = {"depth": int(args.network.removeprefix("iresnet")), "cbam": args.cbam, "pooled": args.pooled}
    return IResNet(**arguments), arguments
