"""Cost of the networks: parameters, multiply-adds and throughput, also as a share of the machine's matrix multiplication rate.

    python -m evaluation.network_speed [--device cpu|cuda] [--batch 256] [--other yunet.onnx ...] [--write-cards]

Complete calls of the public API (`models`) are timed on random pixels. The detector finds no faces in them, so landmark
refinement is not included; it finds as many candidates as in a crowd. The limit is one large matrix product in the same number
format in the same run (int8 where the detector uses it). ``--other`` are further detectors by path. Each time is the best of
three rounds. ``--write-cards`` writes the rows into the cards of the networks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from models import load_detector, load_recognizer, load_superres, weights_path
from models.chip import CHIP
from models.networks.detector import DetectorNet
from models.networks.recognizer import Recognizer
from models.networks.superres import ENTRY_LEVELS, SuperResNet
from models.runtime.devices import compute_dtype, machine, pick_device
from models.runtime.int8 import Int8Conv, QuantizedMap, int8_is_faster
from models.weights_io import load_shipped, read_card, update_card

FRAMES = ((960, 540), (1920, 1080))
FRAMES_AT_ONCE = (1, 16)
ROUNDS = 3


@dataclass(frozen=True)
class Cost:
    """One row: a network on inputs of one size.

    Attributes:
        network: name.
        input: size of the input.
        batch: inputs a call.
        parameters_m: parameters in millions.
        gmac: billions of multiply-adds for one input.
        per_s: inputs a second.
        share: of the machine's limit, 0..1; None where multiply-adds are unknown.
    """

    network: str
    input: str
    batch: int
    parameters_m: float | None
    gmac: float | None
    per_s: float
    share: float | None


def multiply_adds(net: torch.nn.Module, *shape: int) -> tuple[float, float]:
    """Millions of parameters, and billions of multiply-adds for one input of ``shape`` (channels, height, width)."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        net.eval()(torch.zeros(1, *shape))
    return sum(p.numel() for p in net.parameters()) / 1e6, counter.get_total_flops() / 2e9


def fastest_seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of `ROUNDS` calls, after a warm-up."""
    spent = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - started)
    return min(spent[1:])


def matmul_limit(device: torch.device) -> float:
    """Billions of multiply-adds a second of one large matrix product, in the number format of the networks."""
    side = 8192 if device.type == "cuda" else 2048
    left, right = torch.randn(2, side, side, device=device).to(compute_dtype(device.type)[0])
    return side**3 / 1e9 / fastest_seconds(lambda: left @ right, device)


def int8_matmul_limit() -> float:
    """Billions of int8 multiply-adds per second of a 1x1 convolution of the size of `matmul_limit`."""
    side = 2048
    conv = Int8Conv(torch.nn.Conv2d(side, side, 1), max_value=1.0)
    values = torch.randint(256, (1, side, side // 32, 32), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        return side**3 / 1e9 / fastest_seconds(lambda: conv(QuantizedMap(values, 1.0)), torch.device("cpu"))


def measure(device: torch.device, batch: int, others: list[Path]) -> tuple[dict[str, float], list[Cost]]:
    """The machine's limits by number format, and all rows."""
    rng, rows = np.random.default_rng(0), []
    usual = str(compute_dtype(device.type)[0]).removeprefix("torch.")
    limits = {usual: matmul_limit(device)} | ({"int8": int8_matmul_limit()} if int8_is_faster(device) else {})

    def add(
        network: str, size: str, count: int, own: tuple[float, float] | None, call: Callable[[], object], numbers: str = usual
    ) -> None:
        rate = count / fastest_seconds(call, device)
        parameters, gmac = (round(v, 3) for v in own) if own else (None, None)
        share = round(gmac * rate / limits[numbers], 3) if gmac else None
        rows.append(Cost(network, size, count, parameters, gmac, round(rate, 1), share))

    restorer, recognizer = load_superres(device=device.type), load_recognizer(device=device.type)
    for side in ENTRY_LEVELS:
        small = rng.integers(0, 256, (batch, side, side, 3), np.uint8)
        own = multiply_adds(load_shipped(SuperResNet, "superres"), 3, side, side)
        add("superres", f"{side} to {CHIP}", batch, own, lambda small=small: restorer.upscale(small))  # type: ignore[misc]
    chips = rng.integers(0, 256, (batch, 32, 32, 3), np.uint8)
    net = load_shipped(Recognizer, "recognizer")
    parameters, gmac = multiply_adds(net, 3, net.side, net.side)
    add("recognizer", "32", batch, (parameters, 2 * gmac), lambda: recognizer.embed(chips))  # with the mirror image
    for path in (None, *others):
        detector = load_detector(path, device.type)
        numbers = "int8" if getattr(detector, "int8", False) else usual
        for width, height in FRAMES:
            own = None if path else multiply_adds(load_shipped(DetectorNet, "detector"), 3, -(-height // 32) * 32, width)
            for count in FRAMES_AT_ONCE:
                frames = list(rng.integers(0, 256, (count, height, width, 3), np.uint8))
                name = path.stem if path else "detector"
                add(name, f"{width}x{height}", count, own, lambda d=detector, f=frames: d.detect(f), numbers)  # type: ignore[misc]
    return limits, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch", type=int, default=256, help="chips at once")
    parser.add_argument("--other", type=Path, nargs="*", default=[])
    parser.add_argument("--write-cards", action="store_true")
    args = parser.parse_args()
    device = pick_device(args.device)
    limits, rows = measure(device, args.batch, args.other)
    table = Table("network", "input", "batch", "M parameters", "GMAC", "a second", "share of the limit", box=None)
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in asdict(row).values()))
    console = Console(width=110)
    told = ", ".join(f"{value:.0f} in {numbers}" for numbers, value in limits.items())
    console.print(f"{machine(device.type)}: billions of multiply-adds a second: {told}")
    console.print(table)
    if args.write_cards:
        for network in ("superres", "recognizer", "detector"):
            path = weights_path(None, network)
            own = [asdict(row) for row in rows if row.network == network]
            speed = read_card(path, network).get("speed", {})
            update_card(
                path,
                speed=speed | {machine(device.type): {"limit_gmac_per_s": {k: round(v) for k, v in limits.items()}, "rows": own}},
            )


if __name__ == "__main__":
    main()
