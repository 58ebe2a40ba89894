"""What an earlier training left behind, as the folder of its run or as published weights beside their card."""

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

FORMER_NAMES = {"RescoreNet": "VerificationNet"}  # networks as older runs call them


@dataclass(frozen=True)
class Made:
    """What weights were made by, with the runs they began from: commands, machines and commits oldest first, and
    samples and seconds in all; ``architecture`` is what the network takes."""

    commands: list[str]
    samples: int
    seconds: float
    machines: list[str]
    commits: list[str] = field(default_factory=list)
    architecture: dict[str, Any] = field(default_factory=dict)


def own_command() -> str:
    """The running program's command line, with ``--data DATA`` in place of the folder and without ``--cache``."""
    options = re.sub(r"--data [^ ]+", "--data DATA", re.sub(r" --cache [^ ]+", "", " ".join(["", *sys.argv[1:]])))
    parts = Path(sys.argv[0]).with_suffix("").parts
    inside = parts[len(parts) - parts[::-1].index("training") :] if "training" in parts else parts[-1:]
    return f"python -m {'.'.join(['training', *inside])}{options}"


def without_folders(command: str) -> str:
    """A command as cards tell it: of files elsewhere on the machine only their names."""
    return re.sub(r"(?<= )/(?:[^ ]*/)?", "", command)


def own_commit() -> str:
    """The commit of the running program, marked if files differ from it; empty outside a checkout."""
    try:
        git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def averaged(source: Path, makers: dict[str, Callable[..., nn.Module]]) -> nn.Module:
    """The averaged network of a finished or running training, or the published one of a ``.safetensors`` file, frozen;
    ``makers`` by class name are those it may be. Raises SystemExit with the reason if it is none of them."""
    if source.suffix == ".safetensors":
        return _published(source, makers)
    state = saved(source)
    if state.get("network") not in makers:
        raise SystemExit(f"{source}: a run of {state.get('network', 'an older version')}, not of {' or '.join(makers)}")
    try:
        net = makers[state["network"]](**state["arguments"])
        net.load_state_dict(state["average"])
    except (TypeError, RuntimeError) as error:
        raise SystemExit(f"{source}: {' '.join(str(error).split())[:300]}") from None
    return net.eval().requires_grad_(False)


def projection(run: Path) -> torch.Tensor | None:
    """What made a recogniser's vectors those of a teacher with fewer numbers, (fewer, D): the rest of them learned nothing. None
    where there is no such run."""
    if not run.is_dir():
        return None
    state = saved(run)
    weight: torch.Tensor | None = state.get("auxiliary", state.get("beside", {})).get("project.weight")  # beside: runs of before
    return weight if weight is not None and len(weight) < weight.shape[1] else None


def saved(run: Path) -> dict[str, Any]:
    """What a run has saved. Raises SystemExit with the reason if that is nothing, or cannot be read."""
    try:
        state = torch.load(run / "state.pt", weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, LookupError, EOFError, pickle.UnpicklingError) as error:
        raise SystemExit(f"{run}: no run that can be read: {type(error).__name__} {error}") from None
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


def mean(nets: Sequence[nn.Module]) -> nn.Module:
    """The first of networks of one build, with the mean of their weights."""
    states = [net.state_dict() for net in nets]
    floating = {name for name, value in states[0].items() if value.is_floating_point()}
    nets[0].load_state_dict({name: torch.stack([state[name] for state in states]).mean(0) for name in floating}, strict=False)
    return nets[0]


def together(runs: Sequence[Made]) -> Made:
    """How a mean of several runs came about: what they share told once; samples and seconds are those of the longest."""

    def all_of(lists: list[list[str]]) -> list[str]:
        return list(dict.fromkeys(each for some in lists for each in some))

    longest = max(runs, key=lambda run: run.samples)
    return Made(
        all_of([run.commands for run in runs]),
        longest.samples,
        longest.seconds,
        all_of([run.machines for run in runs]),
        all_of([run.commits for run in runs]),
        runs[0].architecture,
    )


def built(network: Callable[..., nn.Module], given: dict[str, Any]) -> dict[str, Any]:
    """Everything a network is made with, as a card holds it: what was given, else its defaults of today."""
    defaults = {name: option.default for name, option in inspect.signature(network).parameters.items()}
    return dict(json.loads(json.dumps(defaults | given)))


def made(source: Path) -> Made:
    """How a run, or published weights, came about."""
    if source.suffix == ".safetensors":
        card = json.loads(source.with_suffix(".json").read_text())
        trained = card["trained"]
        return Made(
            [card["command"]],
            trained["samples"],
            60.0 * trained["minutes"],
            [trained["machine"]],
            [trained["commit"]],
            card["architecture"],
        )
    state = saved(source)
    before = Made(**state["before"]) if state["before"] else Made([], 0, 0.0, [])
    return Made(
        [*before.commands, *map(without_folders, (*state.get("made_of", ()), state["command"]))],
        before.samples + state["samples"],
        before.seconds + state["seconds"],
        [*before.machines, state["machine"]],
        [*before.commits, state.get("commit", "")],
        state["arguments"],
    )
