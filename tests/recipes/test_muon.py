"""The lab's Muon does what torch's does, more precisely."""

import pytest
import torch

from recipes.lab.muon import Muon, orthogonal


def test_steps_are_those_of_torch_up_to_its_bfloat16() -> None:
    torch.manual_seed(0)
    ours = [
        torch.nn.Parameter(torch.randn(shape)) for shape in ((48, 32), (32, 48), (32, 32), (32, 32))
    ]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    first = [parameter.detach().clone() for parameter in ours]
    our_muon = Muon(ours, lr=0.1)
    their_muon = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.02, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn_like(mine)
            other.grad = mine.grad.clone()
        our_muon.step()
        their_muon.step()
    for mine, other, start in zip(ours, theirs, first, strict=True):
        assert (mine - start).norm() > 1.0
        assert (mine - other).norm() < 0.03 * (mine - start).norm()


@pytest.mark.parametrize("shape", [(3, 24, 64), (1, 16, 16)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_a_matrix_without_gradient_stays_as_it_is() -> None:
    still, moving = torch.nn.Parameter(torch.ones(2, 3)), torch.nn.Parameter(torch.ones(2, 3))
    moving.grad = torch.ones(2, 3)
    Muon([still, moving], lr=0.1).step()
    assert torch.equal(still, torch.ones(2, 3))
    assert not torch.equal(moving, torch.ones(2, 3))


def test_a_closure_computes_the_gradients_and_its_loss_comes_back() -> None:
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    muon = Muon([parameter], lr=0.1)

    def closure() -> float:
        muon.zero_grad()
        loss = (parameter**2).sum()
        loss.backward()
        return loss.item()

    assert muon.step(closure) == 6.0
    assert (parameter < 1.0).all()
