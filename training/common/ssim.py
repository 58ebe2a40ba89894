"""Structural similarity (SSIM, Wang et al. 2004), for losses and measures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)  # BT.601, 16..235


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM (N,) of single-channel images (N, 1, H, W) in [0, 1]: 11x11 Gaussian window, sigma 1.5, valid region, no padding."""
    window = torch.exp(-((torch.arange(11, device=a.device, dtype=a.dtype) - 5) ** 2) / (2 * 1.5**2))
    window = (window / window.sum())[None, None]

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, window[..., None]), window[:, :, None])

    mean_a, mean_b = mean(a), mean(b)
    variances = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    similarity = (2 * mean_a * mean_b + 0.01**2) * (2 * covariance + 0.03**2)
    return (similarity / ((mean_a**2 + mean_b**2 + 0.01**2) * (variances + 0.03**2))).mean((1, 2, 3))


def luma_ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM (N,) of the luma of RGB images (N, 3, H, W) in [0, 1]."""
    weights = torch.tensor(LUMA, device=a.device)[:, None, None]
    return ssim(*((x * weights).sum(1, keepdim=True) + 16 / 255 for x in (a, b)))
