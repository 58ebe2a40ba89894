"""Train the low-resolution recogniser on a GPU, from synthetic faces that are never repeated:

    python -m training.recognizer.train_online --data DATA --teacher edgeface_xs.safetensors \\
        --start models/weights/recognizer.safetensors --depths 4 7 2 --preset gpu --minutes 10 --out runs/recognizer-online

`training.recognizer.train` reads faces and teacher embeddings from files, and the student overfits in the third epoch: its
cosine to the teacher is 0.75 on these faces and 0.64 on unseen people, at any depth. Here each face is generated for one step
(`training.data.online_morphs`), embedded by the teacher (EdgeFace-XS, which needs timm and its weights), degraded by two
cameras (`training.recognizer.online_inputs`) and discarded, all on the training device. `CHIP_SHARE` of the faces are unchanged
chips. The loss is that of `training.recognizer.train`; the contrastive term also uses faces of earlier steps as negatives.

The stored embeddings of the chips are used only to fit the rotation of the teacher's axes. The teacher embeds every face again,
because light and mirroring vary. Training also runs on a CPU, slowly, for trials.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.iresnet import init_from_shallower
from models.networks.recognizer import Recognizer
from models.networks.superres import SuperResNet
from models.runtime.devices import autocast, prepare_for_inference
from models.weights_io import WEIGHTS, load_network
from training.common.edgeface import EdgeFace
from training.common.plan import plan
from training.common.runs import load_averaged, provenance_of
from training.data.chips import load_chips
from training.data.morphs import embedding_alignment
from training.data.online_morphs import MorphSampler
from training.recognizer.online_inputs import Cameras
from training.recognizer.train import dev_cosines, dev_views
from training.recognizer.vector_distillation import embedding_loss

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"samples": 200_000, "batch": 128, "lr": 2e-3},
    "gpu": {"samples": 8_000_000, "batch": 1024, "lr": 2e-3},
}
CAMERAS_PER_FACE = 2
CHIP_SHARE = 0.15  # share of faces that are unchanged chips
NEGATIVE_QUEUE = 8192  # number of teacher embeddings of earlier steps kept as negatives
EVALUATE_EVERY = 250  # steps between two evaluations on the dev chips
ALIGNMENT_CHIPS = 4096  # chips from which the rotation of the teacher's axes is fitted


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        teacher={"type": Path, "required": True, "help": "weights of EdgeFace-XS"},
        start={"type": Path, "help": "run or weight file to start from"},
        depths={"type": int, "nargs": 3, "help": "blocks of the network's stages; those of --start may be fewer"},
        plain={"action": "store_true", "help": "super-resolve no face"},
    )
    args, batch, device = job.args, job.batch, job.device
    chips = load_chips(args.data, args.cache)
    teacher = EdgeFace(args.teacher, device)
    generator = torch.Generator(device)
    generator.manual_seed(args.seed)
    rows = np.random.default_rng(args.seed).permutation(np.flatnonzero(chips.train))[:ALIGNMENT_CHIPS]
    turn = torch.from_numpy(embedding_alignment(teacher, chips, np.sort(rows))).to(device)
    crowd = MorphSampler(chips, device, generator)
    restorer = None
    if not args.plain:
        net, _ = load_network(SuperResNet, WEIGHTS / "superres.safetensors", "superres")
        restorer, _ = prepare_for_inference(net.requires_grad_(False), torch.device(device))

    arguments = {"depths": args.depths} if args.depths else provenance_of(args.start).architecture if args.start else {}
    student = Recognizer(**arguments)
    if args.start:
        try:
            init_from_shallower(student, load_averaged(args.start, {"Recognizer": Recognizer}))
        except (ValueError, RuntimeError) as error:
            raise SystemExit(f"--start {args.start}: {error}") from None
    student = student.to(device, memory_format=torch.channels_last)
    cameras = Cameras(student.side, generator, restorer)
    dev = np.flatnonzero(chips.dev)[:512]
    seen_by_dev = dev_views(chips.images[dev], student.side, device)
    targets_of_dev = torch.from_numpy(chips.teacher_embeddings()[dev]).to(device)
    auxiliary = nn.Module()
    auxiliary.register_buffer(
        "strangers", F.normalize(torch.randn(NEGATIVE_QUEUE, student.dim, generator=generator, device=device))
    )
    run = job.run(student, 0.05, arguments, auxiliary=auxiliary, muon=True)
    # Faces are made on a separate CUDA stream, so that the GPU does not idle while the host reads results.
    aside = torch.cuda.Stream() if device == "cuda" else None
    if aside:
        aside.wait_stream(torch.cuda.current_stream())

    @torch.no_grad()
    def make(step: int) -> tuple[tuple[Tensor, ...], torch.cuda.Event | None]:
        with torch.cuda.stream(aside) if aside else contextlib.nullcontext():
            generator.manual_seed(int(run.rng(step).integers(2**62)))
            faces, whose = crowd.sample(batch // CAMERAS_PER_FACE, round(CHIP_SHARE * batch / CAMERAS_PER_FACE))
            target = F.normalize(teacher.vectors(faces) @ turn)
            views = cameras.views(faces.repeat(CAMERAS_PER_FACE, 1, 1, 1))
            return (views, target, whose), aside.record_event() if aside else None

    for tensors, made_by_then in run.batches(make, threads=1):
        if made_by_then:
            made_by_then.wait()
            for tensor in tensors:
                tensor.record_stream(torch.cuda.current_stream())
        views, target, whose = tensors
        with autocast(device):
            embedding, _ = student.with_features(views.contiguous(memory_format=torch.channels_last))
        targets, label = target.repeat(CAMERAS_PER_FACE, 1), whose.repeat(CAMERAS_PER_FACE)
        terms = embedding_loss(student, embedding.float(), nn.Identity(), targets, label, auxiliary.strangers)
        auxiliary.strangers = torch.cat([target, auxiliary.strangers])[:NEGATIVE_QUEUE]
        run.update(sum(terms.values(), 0.0 * embedding.sum()), **terms)
        if run.step % EVALUATE_EVERY == 0 or run.done:
            print("  dev:", dev_cosines(run.average.net, seen_by_dev, targets_of_dev), flush=True)


if __name__ == "__main__":
    main()
