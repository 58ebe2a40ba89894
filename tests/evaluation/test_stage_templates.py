"""Measures use the pipeline's own stages: the same chips give the same embeddings and templates, bit by bit."""

import numpy as np
import pytest

from evaluation.lfw import INPUTS, embed_each_way
from evaluation.stage_templates import StageTemplates, aggregated, as_track, embeddings_of
from models import load_recognizer, load_superres
from stages.aggregate import Aggregate
from stages.embed import Embed
from stages.superres import Superres


def small(chips: np.ndarray, level: int) -> np.ndarray:
    return np.ascontiguousarray(chips[:, :: 128 // level, :: 128 // level])


@pytest.mark.parametrize("level", [16, 32])
def test_fused_embeddings_of_the_tables_are_those_of_the_pipeline(chips: np.ndarray, level: int) -> None:
    low = small(chips[:3], level)
    recognizer, superres = load_recognizer(device="cpu"), load_superres(device="cpu").upscale
    embeddings, quality = embed_each_way(recognizer, low, superres, INPUTS)["fused"]
    stages = Superres(device="cpu"), Embed(device="cpu")
    batch = [as_track("all", list(low))]
    for stage in stages:
        stage.open()
        batch = stage.process(batch)
    assert np.array_equal(embeddings, batch[0].embeddings) and np.array_equal(quality, batch[0].quality)


def test_templates_of_the_tables_are_those_of_the_pipeline(chips: np.ndarray) -> None:
    shots = [list(small(chips[:2], 16)), [*small(chips[2:4], 32), chips[4]]]
    made = StageTemplates(device="cpu")(shots)
    batch = [as_track(f"cam-{k}", own) for k, own in enumerate(shots)]
    for stage in (Superres(device="cpu"), Embed(device="cpu"), Aggregate()):
        stage.open()
        batch = stage.process(batch)
    assert all(np.array_equal(a.embedding, b.embedding) and a.quality == b.quality for a, b in zip(made, batch, strict=True))


def test_shots_embedded_before_are_aggregated_as_the_pipeline_does(chips: np.ndarray) -> None:
    low = small(chips[:3], 64)
    (template,) = StageTemplates(device="cpu")([list(low)])
    embeddings, quality = load_recognizer(device="cpu").embed_with_quality(low)
    assert np.array_equal(aggregated(embeddings[None], quality[None], power=2.0)[0], template.embedding)


def test_a_track_without_any_quality_matches_nobody() -> None:
    nothing = aggregated(np.ones((1, 2, 4), np.float32) / 2, np.zeros((1, 2), np.float32), power=2.0)
    assert nothing.tolist() == [[0, 0, 0, 0]]
    assert embeddings_of(StageTemplates(device="cpu")([[]]), 4).tolist() == [[0, 0, 0, 0]]


def test_the_next_tracks_of_the_same_names_are_embedded_anew(chips: np.ndarray) -> None:
    low, stages = small(chips[:2], 16), StageTemplates(device="cpu")
    first, second = (stages.embedded([[chip]])[0].embeddings for chip in low)
    assert not np.allclose(first, second, atol=1e-3) and np.array_equal(second, stages.embedded([[low[1]]])[0].embeddings)
