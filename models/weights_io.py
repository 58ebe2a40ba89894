"""Read and write weight files: safetensors with a JSON card. Loading checks that the two match."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

WEIGHTS = Path(__file__).parent / "weights"
Network = TypeVar("Network", bound=nn.Module)


def digest(path: Path) -> str:
    """sha256 of a file, in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_card(path: Path, kind: str) -> dict[str, Any]:
    """Read the card beside a weight file.

    Args:
        path: the weight file.
        kind: expected kind of network, such as ``detector``.

    Raises:
        ValueError: with the reason, if the card is missing, of another kind, or its sha256 is not that of the file.
    """
    card_path = path.with_suffix(".json")
    try:
        card: dict[str, Any] = json.loads(card_path.read_text())
        found = digest(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot read the weights or their card {card_path.name} ({error})") from None
    if not isinstance(card, dict):
        raise ValueError(f"{card_path}: not a card")
    if card.get("kind") != kind:
        raise ValueError(f"{path}: these are {card.get('kind')!r} weights, {kind!r} ones are needed")
    if card.get("sha256") != found:
        raise ValueError(f"{path}: the file does not match the sha256 of its card; it was cut or changed")
    return card


def load_network(network: type[Network], path: Path, kind: str) -> tuple[Network, dict[str, Any]]:
    """Build a network from a weight file and its card.

    Args:
        network: the class; it is called with the card's ``architecture``.
        path: the weight file.
        kind: expected kind of network.

    Returns:
        The network in float32, and the card.

    Raises:
        ValueError: with the reason, if the weights, the card and the class do not match.
    """
    card = read_card(path, kind)
    try:
        net = network(**card["architecture"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its card describes no {network.__name__} ({error!r})") from None
    try:
        net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(str(path)).items()})
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())[:300]}") from None
    return net, card


def load_shipped(network: type[Network], kind: str) -> Network:
    """Load the project's own network of a kind."""
    return load_network(network, WEIGHTS / f"{kind}.safetensors", kind)[0]


def save_weights(net: nn.Module, path: Path, card: dict[str, Any]) -> None:
    """Write a network as float16, and its card with the digest and the number of parameters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {k: (v.half() if v.is_floating_point() else v).contiguous().cpu() for k, v in net.state_dict().items()}
    save_file(state, str(path))
    write_card(path, {**card, "parameters": sum(p.numel() for p in net.parameters())})


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write the card of a weight file, with the file's sha256."""
    path.with_suffix(".json").write_text(json.dumps({**card, "sha256": digest(path)}, indent=2) + "\n")


def update_card(path: Path, **entries: Any) -> None:
    """Add or replace entries of the card beside a weight file."""
    card_path = path.with_suffix(".json")
    card_path.write_text(json.dumps(json.loads(card_path.read_text()) | entries, indent=2) + "\n")


def finite_or_zero(values: torch.Tensor) -> torch.Tensor:
    """Replace NaN and infinities by 0, so that they never leave a network."""
    return torch.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
