"""Laws of the attention network: it reads bags, not sequences, and its decision is the sum of its tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from slides.errors import UsageError
from vision_encoder.slide_models.attention import GatedAttention, attend, masked_softmax
from vision_encoder.slide_models.configurations import configured
from vision_encoder.slide_models.losses import instance_loss, sampled, training_loss
from vision_encoder.slide_models.multitask import UNKNOWN, MultiTaskMIL, Task

TASKS = {
    "abmil": [Task("category", ("malignant", "rest")), Task("organ", ("colon", "liver", "stomach"))],
    "clam": [Task("category", ("malignant", "benign", "other"))],
    "toad": [Task("origin", ("colon", "liver", "lung")), Task("site", ("primary", "metastatic"))],
    "crane": [
        Task("cellular", ("no", "yes")),
        Task("antibody", ("no", "yes")),
        Task("grade", ("low", "high"), among=("cellular", "yes")),
    ],
}


def made(name: str, **settings: object) -> MultiTaskMIL:
    torch.manual_seed(3)
    return MultiTaskMIL(configured(name, 12, TASKS[name], width=8, hidden=6, **settings)).eval()


def bags(count: int = 3, tiles: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(count, tiles, 12, generator=generator), torch.ones(count, tiles, dtype=torch.bool)


@pytest.mark.parametrize("name", TASKS)
def test_the_order_of_tiles_changes_nothing(name: str) -> None:
    model, (features, mask) = made(name), bags()
    turned = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    first, second = model(features, mask), model(features[:, turned], mask)
    for task in first:
        torch.testing.assert_close(first[task].logits, second[task].logits)
        torch.testing.assert_close(first[task].attention[:, turned], second[task].attention)


@pytest.mark.parametrize("name", TASKS)
def test_attention_sums_to_one_over_the_tiles_that_are_there(name: str) -> None:
    model, (features, mask) = made(name), bags()
    mask[0, 4:] = False
    for reading in model(features, mask).values():
        sums = reading.attention.sum(dim=1)
        torch.testing.assert_close(sums, torch.ones_like(sums))
        assert (reading.attention[0, 4:] == 0).all()
        assert (reading.attention >= 0).all()


@pytest.mark.parametrize("name", TASKS)
def test_padding_changes_nothing(name: str) -> None:
    model, (features, mask) = made(name), bags()
    padded = torch.cat([features, torch.full((3, 7, 12), 1e3)], dim=1)
    longer = torch.cat([mask, torch.zeros(3, 7, dtype=torch.bool)], dim=1)
    for one, other in zip(model(features, mask).values(), model(padded, longer).values(), strict=True):
        torch.testing.assert_close(one.logits, other.logits)


@pytest.mark.parametrize("name", TASKS)
def test_a_bag_is_the_mean_of_its_tiles_weighed_by_attention(name: str) -> None:
    model, (features, mask) = made(name), bags(1)
    readings, alone = model(features, mask), model.tile_logits(features[0])
    for task, reading in readings.items():
        torch.testing.assert_close((reading.attention[0] * alone[task]).sum(dim=0), reading.logits[0])


def test_class_branches_are_additive_too() -> None:
    model, (features, mask) = made("clam", branches=True), bags(1)
    reading, alone = model(features, mask)["category"], model.tile_logits(features[0])["category"]
    assert reading.attention.shape == (1, 10, 3)
    torch.testing.assert_close((reading.attention[0] * alone).sum(dim=0), reading.logits[0])


@pytest.mark.parametrize("tiles", [1, 2, 3])
@pytest.mark.parametrize("name", TASKS)
def test_a_tiny_bag_is_read_and_learned_from(name: str, tiles: int) -> None:
    model, (features, mask) = made(name).train(), bags(2, tiles)
    labels = {task.name: torch.tensor([0, 1]) for task in model.shape.tasks}
    loss = training_loss(model, model(features, mask), mask, labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(part.grad).all() for part in model.parameters() if part.grad is not None)


def test_instances_are_never_on_both_sides() -> None:
    shape = configured("clam", 12, TASKS["clam"])
    for tiles in range(1, 40):
        most = sampled(shape, tiles)
        assert 2 * most <= tiles
        assert most == min(8, tiles // 2)


def test_only_exclusive_classes_teach_the_others_what_they_are_not() -> None:
    features, mask = bags(1)
    both, own = made("clam"), made("clam", exclusive=False)
    own.load_state_dict(both.state_dict())
    for model, taught in ((both, [True, True, True]), (own, [False, True, False])):
        reading = model(features, mask)["category"]
        instance_loss(model, "category", reading, mask[0], 0, 1).backward()
        gradient = model.clusters["of category"].weight.grad.unflatten(0, (3, 2))
        assert [bool(rows.abs().sum() > 0) for rows in gradient] == taught


def test_a_label_that_is_not_known_teaches_nothing() -> None:
    model, (features, mask) = made("abmil"), bags(2)
    labels = {"category": torch.tensor([0, UNKNOWN]), "organ": torch.tensor([UNKNOWN, UNKNOWN])}
    training_loss(model, model(features, mask), mask, labels).backward()
    assert model.heads["of organ"].weight.grad is None
    one = {"category": torch.tensor([0]), "organ": torch.tensor([UNKNOWN])}
    alone = training_loss(model, model(features[:1], mask[:1]), mask[:1], one)
    torch.testing.assert_close(training_loss(model, model(features, mask), mask, labels), alone)


def test_sex_is_beside_the_vector_and_may_be_unknown() -> None:
    model, (features, mask) = made("toad"), bags(1)
    told = [model(features, mask, torch.tensor([sex]))["origin"].logits for sex in (0, 1, UNKNOWN)]
    assert not torch.equal(told[0], told[1])
    assert not torch.equal(told[0], told[2])
    torch.testing.assert_close(told[2], model(features, mask)["origin"].logits)
    first, second = (model(features, mask, torch.tensor([sex]))["site"].attention for sex in (0, 1))
    torch.testing.assert_close(first, second)  # it changes what is said, not where one looks


def test_a_grade_has_a_network_of_its_own() -> None:
    model, (features, mask) = made("crane"), bags(2)
    labels = {"cellular": torch.tensor([1, 0]), "antibody": torch.tensor([0, 1]), "grade": torch.tensor([UNKNOWN] * 2)}
    training_loss(model, model(features, mask), mask, labels).backward()
    taught = {name for name, part in model.named_parameters() if part.grad is not None and part.grad.abs().sum() > 0}
    assert any("cellular" in name for name in taught)
    assert not any("grade" in name for name in taught)


def test_the_same_seed_makes_the_same_network() -> None:
    for one, other in zip(made("clam").parameters(), made("clam").parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "tasks", "said"),
    [
        ("transmil", TASKS["abmil"], "no slide model"),
        ("toad", TASKS["abmil"][:1], "two tasks"),
        ("crane", TASKS["clam"], "yes or no"),
    ],
)
def test_a_configuration_that_does_not_fit_says_so(name: str, tasks: list[Task], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        configured(name, 12, tasks)
    with pytest.raises(UsageError, match="does not have"):
        configured("abmil", 12, TASKS["abmil"], depth=3)


def test_gated_attention_agrees_with_torchmil() -> None:
    attention = pytest.importorskip("torchmil.nn.attention", reason="pip install torchmil")
    torch.manual_seed(0)
    theirs, ours = attention.AttentionPool(in_dim=12, att_dim=6, gated=True), GatedAttention(12, 6, 1)
    with torch.no_grad():
        ours.content.load_state_dict(theirs.fc1.module.state_dict())
        ours.gate.load_state_dict(theirs.fc_gated.module.state_dict())
        ours.score.weight.copy_(theirs.fc2.weight)
        ours.score.bias.zero_()  # theirs has none, and none changes a softmax
    features, mask = bags()
    mask[1, 6:] = False
    pooled, scores = theirs(features, mask.float(), return_att=True)
    torch.testing.assert_close(ours(features)[..., 0], scores)
    attention_of_ours = masked_softmax(ours(features), mask)
    torch.testing.assert_close(attend(attention_of_ours, features)[:, 0], pooled, rtol=1e-4, atol=1e-5)
    assert np.isfinite(pooled.detach().numpy()).all()
