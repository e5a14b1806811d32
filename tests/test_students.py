"""Students: their size, their shape, what their loss says, and how long they are trained."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import Branches, blobs, plain
from torch import nn

from toolkit.capture import capture
from toolkit.compress import compress
from toolkit.compress.training.distillation import ROUNDS, distilling, student, train_to_plateau
from toolkit.compress.training.student import widths
from toolkit.examples import models
from toolkit.utils.errors import InputError

WIDE = (64, 256, 256, 64, 10)


def total(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def linear_widths(network: nn.Module) -> list[int]:
    return [len(m.weight) for m in network.modules() if isinstance(m, nn.Linear)]


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1, 0.05, 0.027])
def test_a_student_has_its_share_of_the_teachers_parameters_and_no_bottleneck(share):
    teacher = capture(plain(*WIDE), (64,))
    found = student(teacher, share, seed=0)
    assert abs(total(found) - share * total(teacher)) <= 0.01 * share * total(teacher)
    hidden = linear_widths(found)[:-1]
    assert min(hidden) >= 10 and abs(hidden[0] - hidden[1]) <= 2
    assert hidden[2] == 10 or abs(hidden[0] / hidden[2] - 4) < 0.6


@given(st.lists(st.integers(12, 60), min_size=1, max_size=3), st.floats(0.45, 0.95))
@settings(max_examples=15, deadline=None)
def test_no_uniform_width_comes_nearer_to_the_share(hidden, share):
    teacher = capture(plain(16, *hidden, 5), (16,))
    target = share * total(teacher)

    def size(sizes: list[int]) -> int:
        every = [16, *sizes, 5]
        return sum((a + 1) * b for a, b in itertools.pairwise(every))

    uniform = ([max(round(part / 200 * w), 5) for w in hidden] for part in range(1, 201))
    found = student(teacher, share, seed=0)
    assert abs(total(found) - target) <= min(abs(size(sizes) - target) for sizes in uniform)
    assert size(linear_widths(found)[:-1]) == total(found)


def test_a_narrow_layer_of_the_teacher_stays_as_it_is():
    found = widths(capture(plain(64, 100, 4, 100, 10), (64,)), 0.3)
    assert list(found.values())[1] == 4


def test_a_residual_student_still_adds_and_joins():
    torch.manual_seed(0)
    wide = Branches()
    wide.a, wide.b, wide.c = nn.Linear(6, 32), nn.Linear(32, 32), nn.Linear(64, 4)
    teacher = capture(wide.eval(), (6,))
    found = student(teacher, 0.4, seed=0)
    a, b, c = (found.get_submodule(name).weight for name in "abc")
    assert len(a) == len(b) == b.shape[1] and c.shape == (4, 2 * len(a))
    assert abs(total(found) / total(teacher) - 0.4) < 0.04
    assert found(torch.randn(3, 6)).shape == (3, 4)


@pytest.mark.parametrize("kind, share", [(models.lenet, 0.25), (models.lenet, 0.05), (models.resnet, 0.5),
                                         (models.resnet, 0.25)])
def test_a_convolutional_student_hands_on_at_least_as_many_numbers_as_outputs(kind, share):
    teacher = capture(kind().eval(), (1, 28, 28))
    found = student(teacher, share, seed=0)
    assert abs(total(found) / total(teacher) - share) < 0.05 * share
    seen = []
    for module in found.modules():
        if module is not found:
            module.register_forward_hook(lambda m, i, o: seen.append(o[0].numel()))
    assert found(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert min(seen) == 10


def test_a_student_is_fresh_and_repeatable_by_its_seed():
    teacher = capture(plain(6, 40, 4), (6,))
    one, again, other = (next(student(teacher, 0.4, seed).parameters()) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert not np.isin(one.detach().numpy(), next(teacher.parameters()).detach().numpy()).any()


def test_a_share_that_would_need_a_bottleneck_is_refused_with_the_least_that_works():
    with pytest.raises(InputError, match=r"smallest has 48 of 92.*distill:0.53") as refused:
        compress(plain(6, 8, 4), blobs(), "distill:0.1")
    least = float(str(refused.value).split("distill:")[1].split()[0])
    assert linear_widths(student(capture(plain(6, 8, 4), (6,)), least, 0)) == [4, 4]


def test_the_soft_loss_is_the_divergence_from_the_teacher_times_the_temperature_squared():
    """Teacher undecided between two classes, student with logits (z, 0): KL is ln cosh(z / 2T)."""
    for temperature, z in ((1.0, 1.0), (2.0, 1.0), (3.0, -4.0)):
        soft = distilling(temperature, 1.0)(torch.tensor([[z, 0.0]]), torch.tensor([0]), torch.zeros(1, 2))
        assert float(soft) == pytest.approx(temperature**2 * math.log(math.cosh(z / (2 * temperature))), rel=1e-5)


def test_a_hot_teacher_is_followed_by_squared_logits():
    """Hinton et al.: with T far above the logits, and these of mean zero, the gradient is (student - teacher) / N."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0, 1, (2, 1, 5))
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    given_ = torch.tensor(ours, requires_grad=True)
    distilling(300.0, 1.0)(given_, torch.tensor([0]), torch.tensor(theirs)).backward()
    assert given_.grad is not None
    assert given_.grad.numpy() == pytest.approx((ours - theirs) / 5, rel=0.02)


def test_the_mix_is_the_teachers_share_of_the_loss():
    """Student (ln 3, 0), teacher (0, 0): cross-entropy with class 1 is ln 4, KL ln cosh(ln(3) / 2) = ln(2 / sqrt 3)."""
    outputs, labels, taught = torch.tensor([[math.log(3), 0.0]]), torch.tensor([1]), torch.zeros(1, 2)
    hard, soft = math.log(4), math.log(2 / math.sqrt(3))
    for mix in (0.0, 0.25, 0.9, 1.0):
        assert float(distilling(1.0, mix)(outputs, labels, taught)) == pytest.approx(mix * soft + (1 - mix) * hard,
                                                                                   rel=1e-5)


def test_values_are_taught_by_squared_error():
    outputs, targets, taught = (torch.tensor([[v, 0.0]]) for v in (1.0, 3.0, 2.0))
    assert float(distilling(4.0, 0.25)(outputs, targets, taught)) == pytest.approx(0.25 * 0.5 + 0.75 * 2.0)
    assert float(distilling(4.0, 0.25)(outputs, None, taught)) == pytest.approx(0.5)


@pytest.mark.parametrize("losses, rounds, kept", [([5, 3, 2, 2.5], 4, 2), ([5, 6], 2, 0), ([4, 4], 2, 0),
                                                  ([5, math.nan], 2, 0), (list(range(99, 0, -1)), ROUNDS, ROUNDS - 1)])
def test_a_student_is_trained_until_a_round_brings_nothing(losses, rounds, kept):
    """Round r sets the weight to r; the state of the best round is what stays."""
    network = nn.Linear(1, 1, bias=False)
    done = []

    def once(number: int) -> None:
        done.append(number)
        with torch.no_grad():
            network.weight.fill_(number)

    assert train_to_plateau(network, once, lambda: losses[len(done) - 1]) == rounds == len(done)
    assert network.weight.item() == kept and done == list(range(rounds))
