"""Run the recogniser: chips of any resolution level to unit embeddings and qualities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.chip import check_chips
from models.networks.recognizer import Recognizer, crop_view
from models.runtime.devices import pick_device, prepare_for_inference
from models.weights_io import finite_or_zero, load_network

BATCH = 128
FLAT_STD = 3.0  # grey levels; a chip whose channels all have a lower standard deviation shows no face


class Embedder:
    """Face embedder.

    Args:
        weights: the recogniser's ``.safetensors`` file.
        device: ``cpu``, ``cuda`` or ``auto``.

    Attributes:
        digest: sha256 of the weights. Embeddings of different digests must never be compared.
        dim: D, the length of an embedding.
        card: the JSON card beside the weights.
    """

    def __init__(self, weights: Path, device: str) -> None:
        net, self.card = load_network(Recognizer, weights, "recognizer")
        self.digest: str = self.card["sha256"]
        self.dim = net.dim
        self._side = net.side
        self._device = pick_device(device)
        self._net, self._dtype = prepare_for_inference(net, self._device)

    def embed(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed chips of one resolution level.

        Args:
            chips: uint8 (N, r, r, 3) RGB, r in 16, 32, 64, 128, N > 0.

        Returns:
            float32 (N, D), unit length. The cosine of two embeddings is their dot product.

        Raises:
            ValueError: for another shape or dtype.
        """
        return self.embed_with_quality(chips)[0]

    def embed_with_quality(self, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embed chips and estimate their quality.

        Each chip is embedded with its mirror image, and the two are averaged.

        Args:
            chips: as in `embed`.

        Returns:
            The embeddings of `embed`, and qualities float32 (N,) in 0..1: the predicted cosine to the embedding of a sharp image
            of the same face. A flat chip has quality 0.
        """
        chips = check_chips(chips)
        parts = [self._batch(chips[i : i + BATCH]) for i in range(0, len(chips), BATCH)]
        quality = np.concatenate([q for _, q in parts])
        quality[chips.std((1, 2)).max(1) < FLAT_STD] = 0
        return np.concatenate([v for v, _ in parts]), quality

    @torch.inference_mode()
    def _batch(self, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x = torch.from_numpy(np.ascontiguousarray(chips)).to(self._device).permute(0, 3, 1, 2).float()
        x = crop_view(x.sub_(127.5).div_(127.5), self._side)
        both = torch.cat([x, x.flip(3)]).to(self._dtype).contiguous(memory_format=torch.channels_last)
        embedding, quality = self._net(both)
        halves = finite_or_zero(embedding.float()).view(2, len(chips), -1).sum(0)
        safe = torch.where(halves.norm(dim=1, keepdim=True) > 0, halves, torch.ones_like(halves))
        return F.normalize(safe).cpu().numpy(), finite_or_zero(quality.float()).view(2, -1).mean(0).cpu().numpy()
