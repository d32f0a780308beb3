"""DCLS layers with torch's tools: compile, export, functional transforms, autocast, DDP."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from audio_dcls.dcls import DclsConv1d, DclsConv2d, DclsConv3d, share_positions
from audio_dcls.dcls.conv import DclsConv
from audio_dcls.dcls.interpolation import INTERPOLATIONS

CLASSES: list[type[DclsConv]] = [DclsConv1d, DclsConv2d, DclsConv3d]


def shared_model(groups: int = 4, **keywords: Any) -> nn.Sequential:
    layers = [DclsConv2d(4, 4, 3, (5, 7), padding=(2, 3), groups=groups, **keywords) for _ in range(2)]
    share_positions(layers)
    return nn.Sequential(layers[0], nn.GELU(), layers[1])


def sample(num_axes: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(2, 4, *(9, 8, 7)[:num_axes], generator=torch.Generator().manual_seed(0), dtype=dtype)


@pytest.mark.parametrize("form", list(INTERPOLATIONS))
def test_compile_without_graph_breaks(form: str) -> None:
    model = shared_model(interpolation=form)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    model(sample()).square().sum().backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    y = compiled(sample())
    torch.testing.assert_close(y, model(sample()), rtol=0, atol=1e-6)
    y.square().sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-6)
    with torch.no_grad():  # parameters are inputs of the graph, not constants in it
        model[0].positions.add_(0.5)
    torch.testing.assert_close(compiled(sample()), model(sample()), rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_export_with_any_batch_size(num_axes: int) -> None:
    layer = CLASSES[num_axes - 1](4, 4, 3, 5, padding=2, groups=2).eval()
    x = sample(num_axes)
    program = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
    more = torch.cat([x, x, x])
    torch.testing.assert_close(program.module()(more), layer(more), rtol=0, atol=1e-6)


def test_functional_calls_and_transforms() -> None:
    model = shared_model(dtype=torch.float64)
    x = sample(dtype=torch.float64)
    parameters = dict(model.named_parameters())
    model(x).square().sum().backward()
    found = torch.func.grad(lambda p: torch.func.functional_call(model, p, (x,)).square().sum())(parameters)
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad)
    per_sample = torch.vmap(lambda one: torch.func.functional_call(model, parameters, (one[None],))[0])(x)
    torch.testing.assert_close(per_sample, model(x))
    grouped = shared_model(groups=2, dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda one: grouped(one[None]).mean((0, 2, 3)))(x[0])
    assert jacobian.shape == (4, *x.shape[1:])


def test_autocast_runs_the_convolution_in_bfloat16_and_the_construction_in_float32() -> None:
    model = shared_model()
    kernels = [module.dense_kernel() for module in model if isinstance(module, DclsConv)]
    with torch.autocast("cpu", torch.bfloat16):
        y = model(sample())
        inside = [module.dense_kernel() for module in model if isinstance(module, DclsConv)]
        y.float().square().sum().backward()  # gradients are float32 even when backward is called in here
    assert y.dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(inside, kernels, strict=True))
    coarse = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    model(sample()).square().sum().backward()
    for name, parameter in model.named_parameters():
        gradient = coarse[name]
        assert gradient is not None and parameter.grad is not None
        assert gradient.dtype == torch.float32
        # Two bfloat16 convolutions, of 8 bits each.
        assert (gradient - parameter.grad).norm() < 3e-2 * parameter.grad.norm(), name


def test_parametrised_weights_and_frozen_parameters() -> None:
    layer = torch.nn.utils.parametrizations.weight_norm(DclsConv2d(4, 4, 3, 5, padding=2, groups=4))
    layer(sample()).sum().backward()
    assert layer.parametrizations.weight.original0.grad is not None
    fixed = shared_model()
    fixed.requires_grad_(False)
    assert not fixed(sample()).requires_grad
    fixed[0].weight.requires_grad_()
    fixed(sample()).sum().backward()
    assert fixed[0].weight.grad is not None and fixed[0].positions.grad is None


def test_memory_formats_and_unbatched_inputs() -> None:
    model = shared_model()
    x = sample()
    expected = model(x)
    torch.testing.assert_close(model(x[0]), expected[0], rtol=0, atol=1e-6)
    model = model.to(memory_format=torch.channels_last)
    y = model(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-6)


def test_distributed_training_averages_shared_positions_once(tmp_path: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = shared_model()
        wrapped = DistributedDataParallel(model)
        for _ in range(2):
            model.zero_grad()
            wrapped(sample()).square().sum().backward()
        found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        model.zero_grad()
        model(sample()).square().sum().backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[name], parameter.grad)
    finally:
        torch.distributed.destroy_process_group()


def test_meta_device_allocates_nothing() -> None:
    layer = DclsConv2d(1 << 14, 1 << 14, 26, 23, padding=11, groups=1 << 14, device="meta")
    assert layer.dense_kernel().shape == (1 << 14, 1, 23, 23)
    layer = DclsConv2d(4, 4, 3, 5, padding=2, groups=2, device="meta")
    assert layer(torch.empty(2, 4, 8, 8, device="meta")).shape == (2, 4, 8, 8)
