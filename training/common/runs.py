"""Load weights and provenance of earlier training runs, from run folders or published weights with model cards."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.export import KINDS
from models.weights_io import load_network

FORMER_NAMES = {"RescoreNet": "VerificationNet"}  # class names in older runs: current names


@dataclass(frozen=True)
class Provenance:
    """How weights were made, including the runs they started from.

    Attributes:
        commands: training commands, oldest first.
        samples: total number of training samples.
        seconds: total training time.
        machines: machines, oldest first.
        commits: commits of the code, oldest first.
        architecture: constructor keywords of the network.
    """

    commands: list[str]
    samples: int
    seconds: float
    machines: list[str]
    commits: list[str] = field(default_factory=list)
    architecture: dict[str, Any] = field(default_factory=dict)


def current_command() -> str:
    """Return the command line of this process, with the folder of ``--data`` replaced by DATA and without ``--cache``."""
    options = re.sub(r"--data [^ ]+", "--data DATA", re.sub(r" --cache [^ ]+", "", " ".join(["", *sys.argv[1:]])))
    parts = Path(sys.argv[0]).with_suffix("").parts
    inside = parts[len(parts) - parts[::-1].index("training") :] if "training" in parts else parts[-1:]
    return f"python -m {'.'.join(['training', *inside])}{options}"


def strip_folders(command: str) -> str:
    """Shorten absolute paths in a command to file names, for model cards."""
    return re.sub(r"(?<= )/(?:[^ ]*/)?", "", command)


def current_commit() -> str:
    """Return the current git commit, with ``-dirty`` if tracked files have changes; empty outside a checkout."""
    try:
        git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def load_averaged(source: Path, makers: dict[str, Callable[..., nn.Module]]) -> nn.Module:
    """Load the weight average of a run, or published weights, frozen and in evaluation mode.

    Args:
        source: folder of a run, or a ``.safetensors`` file.
        makers: allowed network classes by class name.

    Raises:
        SystemExit: the source cannot be read, or holds a network of another class.
    """
    if source.suffix == ".safetensors":
        return _published(source, makers)
    state = load_checkpoint(source)
    if state.get("network") not in makers:
        raise SystemExit(f"{source}: a run of {state.get('network', 'an older version')}, not of {' or '.join(makers)}")
    try:
        net = makers[state["network"]](**state["arguments"])
        net.load_state_dict(state["average"])
    except (TypeError, RuntimeError) as error:
        raise SystemExit(f"{source}: {' '.join(str(error).split())[:300]}") from None
    return net.eval().requires_grad_(False)


def load_projection(run: Path) -> torch.Tensor | None:
    """Load the projection (d, D) from a recogniser's D dimensions to a teacher's d < D; None if the run has none."""
    if not run.is_dir():
        return None
    state = load_checkpoint(run)
    weight: torch.Tensor | None = state.get("auxiliary", state.get("beside", {})).get("project.weight")  # older runs: beside
    return weight if weight is not None and len(weight) < weight.shape[1] else None


def load_checkpoint(run: Path) -> dict[str, Any]:
    """Load the checkpoint of a run on the CPU. Raises SystemExit if it is missing or unreadable."""
    try:
        state = torch.load(run / "state.pt", weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise SystemExit(f"{run}: cannot read its state.pt ({type(error).__name__} {error}); name a run's folder") from None
    network = state.get("network")
    return {**state, "network": FORMER_NAMES.get(network, network)} if network else dict(state)


def _published(file: Path, makers: dict[str, Callable[..., nn.Module]]) -> nn.Module:
    kinds = {kind: made.__name__ for kind, made in KINDS.items() if made.__name__ in makers}
    try:
        kind = json.loads(file.with_suffix(".json").read_text()).get("kind")
        if kind not in kinds:
            raise ValueError(f"{file}: {kind} weights, not of {' or '.join(makers)}")
        net, _ = load_network(KINDS[kind], file, kind)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None
    return net.eval().requires_grad_(False)


def average_weights(nets: Sequence[nn.Module]) -> nn.Module:
    """Average the weights of networks of one architecture into the first of them, and return it."""
    states = [net.state_dict() for net in nets]
    floating = {name for name, value in states[0].items() if value.is_floating_point()}
    nets[0].load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in floating}, strict=False)
    return nets[0]


def merge_provenance(runs: Sequence[Provenance]) -> Provenance:
    """Merge the provenance of averaged runs: entries without duplicates, samples and seconds of the longest run."""

    def all_of(lists: list[list[str]]) -> list[str]:
        return list(dict.fromkeys(each for some in lists for each in some))

    longest = max(runs, key=lambda run: run.samples)
    return Provenance(
        all_of([run.commands for run in runs]),
        longest.samples,
        longest.seconds,
        all_of([run.machines for run in runs]),
        all_of([run.commits for run in runs]),
        runs[0].architecture,
    )


def full_architecture(network: Callable[..., nn.Module], given: dict[str, Any]) -> dict[str, Any]:
    """Return all constructor keywords of a network, for its card: ``given`` values, otherwise the defaults."""
    defaults = {name: option.default for name, option in inspect.signature(network).parameters.items()}
    return dict(json.loads(json.dumps(defaults | given)))


def provenance_of(source: Path) -> Provenance:
    """Return the provenance of a run folder or of a ``.safetensors`` file with a card."""
    if source.suffix == ".safetensors":
        card = json.loads(source.with_suffix(".json").read_text())
        trained = card["trained"]
        return Provenance(
            [card["command"]],
            trained["samples"],
            60.0 * trained["minutes"],
            [trained["machine"]],
            [trained["commit"]],
            card["architecture"],
        )
    state = load_checkpoint(source)
    before = Provenance(**state["before"]) if state["before"] else Provenance([], 0, 0.0, [])
    return Provenance(
        [*before.commands, *map(strip_folders, (*state.get("made_of", ()), state["command"]))],
        before.samples + state["samples"],
        before.seconds + state["seconds"],
        [*before.machines, state["machine"]],
        [*before.commits, state.get("commit", "")],
        state["arguments"],
    )
