import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from training.recognizer.feature_similarity import Hints, feature_distance, relation_distance
from training.recognizer.margins import KINDS, MarginHead
from training.recognizer.train import embedding_loss


@pytest.mark.parametrize("kind", KINDS)
def test_a_margin_makes_the_task_harder_and_is_learned(kind: str) -> None:
    torch.manual_seed(0)
    embedding, label = torch.randn(32, 16), torch.arange(32) % 8
    head = MarginHead(16, 8, kind, margin=0.4)
    plain = F.cross_entropy(30 * F.normalize(embedding) @ F.normalize(head.centres).T, label)
    first = head(embedding, label)
    assert float(first) > float(plain)
    points = embedding.clone().requires_grad_()
    optimizer = torch.optim.Adam([points, *head.parameters()], 0.05)
    for _ in range(60):
        optimizer.zero_grad()
        loss = head(points, label)
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.1 * float(first)


def test_cosface_and_arcface_by_hand() -> None:
    embedding, label = torch.tensor([[3.0, 0.0]]), torch.tensor([0])
    for kind, right in (("cosface", 1 - 0.25), ("arcface", math.cos(0.25))):
        head = MarginHead(2, 2, kind)
        head.centres.data = torch.eye(2)
        assert float(head(embedding, label)) == pytest.approx(math.log(1 + math.exp(-30 * right)), abs=1e-4)
    with pytest.raises(ValueError, match="kind = 'sphere': must be one of"):
        MarginHead(2, 2, "sphere")


def test_adaface_asks_more_of_the_side_it_can_trust() -> None:
    head = MarginHead(2, 2, "adaface", margin=0.4).eval()
    head.centres.data = torch.eye(2)
    turned = torch.tensor([[math.cos(1.0), math.sin(1.0)]])
    blurred, sharp = (float(head(turned * norm, torch.tensor([0]))) for norm in (5.0, 60.0))
    assert sharp > blurred + 0.1


def test_another_picture_of_the_same_person_is_neither_right_nor_wrong() -> None:
    vectors = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]))
    net = torch.nn.Module()

    def contrast(*label: int) -> float:
        return float(embedding_loss(net, vectors, torch.nn.Identity(), vectors, torch.tensor(label))["contrast"])

    assert contrast(3, 3, 5) < 0.01 < contrast(3, 4, 5) == contrast(-1, -1, -1)  # -1: nobody knows who


def test_strangers_are_told_apart_unless_the_teacher_finds_them_alike() -> None:
    face, same = nn.Identity(), torch.eye(1, 16)

    def contrast(strangers: torch.Tensor) -> float:
        return float(embedding_loss(face, same, face, same, torch.tensor([0]), strangers)["contrast"])

    assert contrast(same) == 0 < contrast(F.normalize(torch.eye(16)[1:] + 0.5 * same))


def test_stage_distance_by_hand() -> None:
    a, b = [torch.tensor([[[[1.0, 0.0]]]])], [torch.tensor([[[[0.0, 2.0]]]])]
    assert float(feature_distance("cosine", a, b)) == 1 and float(feature_distance("l2", a, b)) == 2.5
    assert float(feature_distance("cosine", a, [a[0] * 7])) == pytest.approx(0)  # size does not count


def test_relations_of_equal_features_are_equal() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(3, 8, 4, 4), torch.randn(3, 8, 4, 4)
    assert float(relation_distance(one, other, one, other)) == pytest.approx(0, abs=1e-5)
    assert float(relation_distance(torch.randn(3, 8, 4, 4), other, one, other)) > 0.3
    assert [f.shape for f in Hints((8, 4), (8, 6))([one, torch.rand(3, 4, 2, 2)])] == [(3, 8, 4, 4), (3, 6, 2, 2)]
