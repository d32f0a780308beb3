"""Layers that share positions build their factors once per forward pass, and never use stale factors."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from audio_dcls.dcls import DclsConv2d, share_positions
from audio_dcls.errors import ArgumentError


class SharingModel(nn.Module):
    """Three layers in a row, with or without shared positions."""

    def __init__(self, shared: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.layers = nn.ModuleList(
            DclsConv2d(3, 3, 4, (5, 7), padding=(2, 3), groups=3, generator=generator, dtype=torch.float64)
            for _ in range(3)
        )
        if shared:
            share_positions(list(self.layers))
        else:
            for layer in self.layers[1:]:
                layer.positions.data.copy_(self.layers[0].positions.data)
        for layer in self.layers:
            layer.weight.data.mul_(20)

    def forward(self, x: Tensor, skip_first: bool = False) -> Tensor:
        for layer in self.layers[1:] if skip_first else self.layers:
            x = layer(x).tanh()
        return x


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def fresh_output(model: SharingModel, x: Tensor) -> Tensor:
    """The current output of the model, computed without a cache."""
    twin = SharingModel(shared=False)
    for layer, source in zip(twin.layers, model.layers, strict=True):
        layer.load_state_dict({name: tensor.detach().clone() for name, tensor in source.state_dict().items()})
    with torch.no_grad():
        return twin(x)


def builds(model: SharingModel) -> int:
    return model.layers[0].factor_cache.num_builds


def test_one_build_per_forward_pass_and_one_gradient_per_backward_pass(x: Tensor) -> None:
    shared, apart = SharingModel(), SharingModel(shared=False)
    arrivals: list[str] = []
    for name in ("positions", "spreads"):
        parameter = getattr(shared.layers[0], name)
        parameter.register_post_accumulate_grad_hook(lambda _, name=name: arrivals.append(name))
    for model in (shared, apart):
        model(x).square().sum().backward()
    assert builds(shared) == 1
    assert sorted(arrivals) == ["positions", "spreads"]
    for name in ("positions", "spreads"):
        total = sum(getattr(layer, name).grad for layer in apart.layers)
        torch.testing.assert_close(getattr(shared.layers[0], name).grad, total)
    for ours, theirs in zip(shared.layers, apart.layers, strict=True):
        torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)


def test_gradients_accumulate_over_micro_batches(x: Tensor) -> None:
    whole, parts = SharingModel(), SharingModel()
    whole(x).square().sum().backward()
    for half in x.split(1):
        parts(half).square().sum().backward()
    torch.testing.assert_close(parts.layers[0].positions.grad, whole.layers[0].positions.grad)
    later = SharingModel()
    losses = [later(half).square().sum() for half in x.split(1)]
    for loss in losses:
        loss.backward()
    torch.testing.assert_close(later.layers[0].positions.grad, whole.layers[0].positions.grad)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, lr=0.5),
        lambda parameters: torch.optim.AdamW(parameters, lr=0.1, foreach=True),
        lambda parameters: torch.optim.AdamW(parameters, lr=0.1, fused=True),
    ],
    ids=["sgd", "foreach", "fused"],
)
@pytest.mark.parametrize("skip_first", [False, True])
def test_optimiser_steps_are_seen(optimizer: Callable[..., torch.optim.Optimizer], skip_first: bool, x: Tensor) -> None:
    """Fused steps do not change version counters, and stochastic depth may skip a layer."""
    model = SharingModel()
    stepper = optimizer(model.parameters())
    for _ in range(2):
        model(x, skip_first).square().sum().backward()
        stepper.step()
        stepper.zero_grad()
        torch.testing.assert_close(model(x).detach(), fresh_output(model, x), rtol=0, atol=1e-12)


def shift(tensor: Tensor) -> None:
    with torch.no_grad():
        tensor.add_(0.3)


CHANGES: dict[str, Callable[[SharingModel], object]] = {
    "no_grad": lambda model: shift(model.layers[0].positions),
    "data": lambda model: model.layers[1].spreads.data.mul_(1.5),
    "replaced data": lambda model: setattr(model.layers[0].positions, "data", model.layers[0].positions.data * 0.5),
    "load": lambda model: model.load_state_dict({n: t * 0.9 for n, t in model.state_dict().items()}),
    "round trip through float32": lambda model: model.float().double(),
}


@pytest.mark.parametrize("mode", ["train", "no_grad", "inference"])
@pytest.mark.parametrize("change", CHANGES)
def test_changes_between_passes_are_seen(change: str, mode: str, x: Tensor) -> None:
    model = SharingModel()
    context = {"train": torch.enable_grad, "no_grad": torch.no_grad, "inference": torch.inference_mode}[mode]
    with context():
        model(x)
    CHANGES[change](model)
    with context():
        y = model(x)
    torch.testing.assert_close(y.clone().detach(), fresh_output(model, x), rtol=0, atol=1e-12)


def test_evaluation_and_training_alternate(x: Tensor) -> None:
    model = SharingModel()
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            model(x)
        model.zero_grad()
        model(x).sum().backward()
        assert model.layers[0].positions.grad is not None
        assert model.layers[0].positions.grad.abs().sum() > 0


def test_models_made_in_inference_mode_run_in_it(x: Tensor) -> None:
    with torch.inference_mode():
        model = SharingModel()
        torch.testing.assert_close(model(x), SharingModel(shared=False)(x))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing_gives_the_same_gradients(use_reentrant: bool, x: Tensor) -> None:
    plain, saved = SharingModel(), SharingModel()
    plain(x).square().sum().backward()
    y = x.clone().requires_grad_()
    for layer in saved.layers:
        y = checkpoint(lambda z, layer=layer: layer(z).tanh(), y, use_reentrant=use_reentrant)
    y.square().sum().backward()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(saved.get_parameter(name).grad, parameter.grad)


def test_changing_positions_before_backward_is_an_error(x: Tensor) -> None:
    model = SharingModel()
    loss = model(x).sum()
    shift(model.layers[0].positions)
    with pytest.raises(RuntimeError, match="between the forward pass and its backward pass"):
        loss.backward()


def test_copies_share_among_themselves(x: Tensor) -> None:
    model = SharingModel()
    expected = model(x)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for twin in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        first, second, _ = twin.layers
        assert first.positions is second.positions is not model.layers[0].positions
        assert first.factor_cache is second.factor_cache is not model.layers[0].factor_cache
        shift(first.positions)
        assert not torch.equal(twin(x), expected)
        assert builds(twin) == 1
    torch.testing.assert_close(model(x), expected)


def test_sharing_survives_meta_device_and_assignment(x: Tensor) -> None:
    source = SharingModel()
    with torch.device("meta"):
        layers = [DclsConv2d(3, 3, 4, (5, 7), padding=(2, 3), groups=3, dtype=torch.float64) for _ in range(3)]
    model = SharingModel()
    model.layers = nn.ModuleList(layers)
    share_positions(layers)
    model.to_empty(device="cpu")
    assert len({id(layer.positions) for layer in model.layers}) == 1
    assert len({id(layer.spreads) for layer in model.layers}) == 1
    model.load_state_dict(source.state_dict())
    torch.testing.assert_close(model(x), source(x))
    state = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    model.load_state_dict(state, assign=True)
    assert len({id(layer.positions) for layer in model.layers}) == 1
    torch.testing.assert_close(model(x), source(x))
    assert len(list(model.parameters())) == len(list(source.parameters()))


def test_layers_that_differ_cannot_share() -> None:
    with pytest.raises(ArgumentError, match="agree"):
        share_positions([DclsConv2d(3, 3, 4, 5, groups=3), DclsConv2d(3, 3, 4, 7, groups=3)])
    with pytest.raises(ArgumentError, match="at least one"):
        share_positions([])
