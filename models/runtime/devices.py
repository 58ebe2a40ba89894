"""Choose the device, the number format and the memory settings that networks run with."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.blocks import HALF_RANGE

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt


def pick_device(device: str) -> torch.device:
    """Resolve a device name.

    Args:
        device: ``cpu``, ``cuda``, or ``auto`` for the GPU where there is one.

    Raises:
        ValueError: for another name, or if a GPU is requested and none is usable.
    """
    if device not in ("cpu", "cuda", "auto"):
        raise ValueError(f"device = {device!r}: must be 'cpu', 'cuda' or 'auto'")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for but no GPU is usable; use 'cpu' or 'auto'")
    return torch.device(device)


@functools.cache
def compute_dtype(device: str) -> tuple[torch.dtype, str]:
    """The dtype that networks compute in on ``cpu`` or ``cuda``, and the reason in words."""
    if device == "cuda":
        return torch.bfloat16, "GPU"
    if (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        and cpu_has_any("avx512_bf16", "amx_bf16")
    ):
        return torch.bfloat16, "the processor multiplies bfloat16 itself"
    return torch.float32, "the processor has no bfloat16 arithmetic"


def machine(device: str) -> str:
    """The machine that figures were measured on, such as ``2 CPU cores, bfloat16``."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU cores"
    return f"{name}, {str(compute_dtype(device)[0]).removeprefix('torch.')}"


def autocast(device: str) -> torch.autocast:
    """The autocast context for training and measuring: bfloat16 where `compute_dtype` says so, else disabled.

    Emulated bfloat16 was seven times slower than float32.
    """
    dtype, _ = compute_dtype(device)
    return torch.autocast(device, dtype, enabled=dtype is torch.bfloat16)


def cpu_has_any(*flags: str) -> bool:
    """Whether /proc/cpuinfo lists one of these CPU flags; False where it cannot be read."""
    try:
        listed = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return any(flag in listed for flag in flags)


@functools.cache
def keep_freed_memory() -> None:
    """Make glibc keep large freed buffers instead of returning them to the kernel.

    Otherwise every layer's activations are mapped anew, and page faults took half of the time.
    """
    if os.name != "posix":
        return
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    except (OSError, AttributeError):  # another C library: nothing to tune
        return


def prepare_for_inference(net: nn.Module, device: torch.device) -> tuple[nn.Module, torch.dtype]:
    """Put a network into evaluation mode on a device, with batch norms folded, channels_last, in `compute_dtype`.

    Returns:
        The network, changed in place, and its dtype.
    """
    keep_freed_memory()
    dtype, _ = compute_dtype(device.type)
    prepared: Any = fold_batch_norms(net.eval())  # torch declares no memory_format for modules
    return prepared.to(device=device, dtype=dtype, memory_format=torch.channels_last), dtype


def to_input(images: NDArray[np.uint8], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Turn uint8 images (N, H, W, 3) into a channels_last tensor (N, 3, H, W) in [-1, 1]."""
    x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(dtype).sub_(HALF_RANGE).div_(HALF_RANGE)
    return x.contiguous(memory_format=torch.channels_last)


def fold_batch_norms(net: nn.Module) -> nn.Module:
    """Fold each batch norm that directly follows a convolution into it; changes the network in place and returns it."""
    for module in net.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for place in range(len(module) - 1):
            first, second = module[place], module[place + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[place] = nn.utils.fusion.fuse_conv_bn_eval(first, second)
                module[place + 1] = nn.Identity()
    return net
