"""Where and how the networks run: device, number format, memory."""

from __future__ import annotations

import ctypes
import functools
import os
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def pick_device(device: str) -> torch.device:
    """``cpu``, ``cuda`` or ``auto``. Raises ValueError for anything else, or if a GPU is asked for and there is none."""
    if device not in ("cpu", "cuda", "auto"):
        raise ValueError(f"device = {device!r}: must be 'cpu', 'cuda' or 'auto'")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for but no GPU is usable; use 'cpu' or 'auto'")
    return torch.device(device)


@functools.cache
def number_format(device: str) -> tuple[torch.dtype, str]:
    """The format the networks compute in, and why."""
    if device == "cuda":
        return torch.bfloat16, "GPU"
    if (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        and processor_has("avx512_bf16", "amx_bf16")
    ):
        return torch.bfloat16, "the processor multiplies bfloat16 itself"
    return torch.float32, "the processor has no bfloat16 arithmetic"


def machine(device: str) -> str:
    """What figures were measured on: ``2 CPU cores, bfloat16``."""
    name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU cores"
    return f"{name}, {str(number_format(device)[0]).removeprefix('torch.')}"


def autocast(device: str) -> torch.autocast:
    """The context in which a network is trained or measured: bfloat16 where that pays, else as it is (emulated, it was seven
    times slower than float32)."""
    dtype, _ = number_format(device)
    return torch.autocast(device, dtype, enabled=dtype is torch.bfloat16)


def processor_has(*flags: str) -> bool:
    """Whether the processor names one of these abilities; of one that does not tell, False."""
    try:
        told = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return any(flag in told for flag in flags)


@functools.cache
def keep_big_buffers() -> None:
    """Ask glibc not to hand big activations back to the kernel after every layer (page faults took half the time)."""
    if os.name != "posix":
        return
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 30)
        libc.mallopt(M_TRIM_THRESHOLD, 1 << 30)
    except (OSError, AttributeError):  # another C library: nothing to tune
        return


def ready(net: nn.Module, device: torch.device) -> tuple[nn.Module, torch.dtype]:
    """Put a network into the form it is run in: evaluation, batch norms folded, channels_last, the device's number format."""
    keep_big_buffers()
    dtype, _ = number_format(device.type)
    net = folded(net.eval())
    return net.to(device=device, dtype=dtype, memory_format=torch.channels_last), dtype


def as_input(pictures: NDArray[np.uint8], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Pictures (N, H, W, 3) as networks that look at [-1, 1] take them: (N, 3, H, W), channels_last."""
    x = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).to(dtype).sub_(127.5).div_(127.5)
    return x.contiguous(memory_format=torch.channels_last)


def folded(net: nn.Module) -> nn.Module:
    """Fold each batch norm that directly follows a convolution into it."""
    for module in net.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for place in range(len(module) - 1):
            first, second = module[place], module[place + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                module[place] = nn.utils.fusion.fuse_conv_bn_eval(first, second)
                module[place + 1] = nn.Identity()
    return net
