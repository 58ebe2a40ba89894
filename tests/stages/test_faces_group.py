import numpy as np

from stages.aggregate import Aggregate
from stages.embed import Embed, fuse
from stages.records import EmbeddedTrack, RestoredTrack, Shot, Track
from stages.superres import Superres


def track(*chips: np.ndarray, final: bool = True) -> Track:
    shots = tuple(Shot(float(k), np.zeros(4, np.float32), 0.9, 30.0, 10.0, 0.5, c, b"") for k, c in enumerate(chips))
    return Track("cam", "t", 1, final, 0.0, 1.0, np.zeros((1, 5), np.float32), shots, None, {})


def small(chip: np.ndarray, rung: int) -> np.ndarray:
    return np.ascontiguousarray(chip[:: 128 // rung, :: 128 // rung])


def test_the_best_shot_is_restored_for_the_eye_others_only_where_asked(chips: np.ndarray) -> None:
    shots = track(small(chips[0], 32), small(chips[0], 32), small(chips[0], 16))
    for rungs, wanted in (([], [True, False, False]), ([16], [True, False, True]), ([16, 32], [True, True, True])):
        stage = Superres(fused_levels=rungs, device="cpu")
        stage.open()
        restored = stage.process([shots])[0].restored
        assert [r is not None for r in restored] == wanted
        assert restored[0].shape == (128, 128, 3)


def test_only_the_end_of_a_track_is_restored_for_the_eye(chips: np.ndarray) -> None:
    stage = Superres(fused_levels=[], device="cpu")
    stage.open()
    early, late = stage.process([track(small(chips[0], 32), final=False), track(small(chips[0], 32))])
    assert early.restored == (None,) and late.restored[0] is not None


def test_a_shot_is_embedded_once_however_often_it_is_reported(chips: np.ndarray) -> None:
    embed = Embed(device="cpu")
    embed.open()
    seen: list[int] = []
    whole = embed._net.embed_with_quality
    embed._net.embed_with_quality = lambda some: (seen.append(len(some)), whole(some))[1]
    first, second, third = (RestoredTrack(track(*chips[:k], final=k == 3), (None,) * k) for k in (1, 2, 3))
    results = [*embed.process([first]), *embed.process([second, third])]  # two reports of one track may come together
    assert seen == [1, 2]
    assert [len(r.embeddings) for r in results] == [1, 2, 3] and not len(embed._cache)
    fresh = Embed(device="cpu")
    fresh.open()
    assert np.allclose(fresh.process([third])[0].embeddings, results[2].embeddings, atol=1e-2)


def test_a_shot_without_a_face_has_no_good_embedding_after_super_resolution() -> None:
    vector, other = np.eye(4, dtype=np.float32)[:2]
    assert fuse([(vector, 0.0), (other, 0.4)])[1] == 0.0
    both, trust = fuse([(vector, 0.2), (other, 0.4)])
    assert np.allclose(both, [0.7071, 0.7071, 0, 0], atol=1e-3) and abs(trust - 0.3) < 1e-6


def test_a_fused_embedding_lies_between_the_direct_and_the_super_resolved_one(chips: np.ndarray) -> None:
    superres, embed = Superres(fused_levels=[16], device="cpu"), Embed(fused_levels=[16], device="cpu")
    superres.open(), embed.open()
    tiny, other = small(chips[0], 16), small(chips[1], 32)
    restored = superres.process([track(other, tiny, final=False)])  # the other's is restored at the end, for the eye alone
    found = embed.process(restored)[0]
    direct = embed._net.embed(tiny[None])[0] + embed._net.embed(restored[0].restored[1][None])[0]
    assert np.allclose(found.embeddings[1], direct / np.linalg.norm(direct), atol=1e-2)
    assert np.allclose(found.embeddings[0], embed._net.embed(other[None])[0], atol=1e-2)
    superres._net = None  # the same shots again need no network
    assert superres.process([track(other, tiny, final=False)])[0].restored[1] is restored[0].restored[1]


def test_embeddings_of_mixed_resolution_levels_and_a_track_without_shots(chips: np.ndarray) -> None:
    superres, embed = Superres(device="cpu"), Embed(device="cpu")
    superres.open(), embed.open()
    mixed = track(chips[0], small(chips[1], 64), small(chips[2], 16))
    full, empty = embed.process(superres.process([mixed, track()]))
    assert full.embeddings.shape[0] == 3 and np.allclose(np.linalg.norm(full.embeddings, axis=1), 1, atol=1e-3)
    assert empty.embeddings.shape[0] == 0 and empty.restored is None


def test_a_template_leans_to_the_better_shot() -> None:
    embeddings = np.eye(2, 4, dtype=np.float32)
    item = EmbeddedTrack(track(), None, embeddings, np.array([0.9, 0.3], np.float32))
    template = Aggregate(power=2.0).process([item])[0]
    assert template.embedding is not None and np.isclose(np.linalg.norm(template.embedding), 1, atol=1e-3)
    assert np.isclose(template.embedding[0] / template.embedding[1], 9, rtol=1e-3)  # it is kept in half precision
    nothing = EmbeddedTrack(track(), None, embeddings, np.zeros(2, np.float32))
    assert Aggregate().process([nothing])[0].embedding is None
