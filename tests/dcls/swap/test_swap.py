"""Plans, sharing and application of the swap on small models; the paper's models are in tests/models."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from audio_dcls.dcls.conv import DclsConv1d, DclsConv2d, DclsConv3d
from audio_dcls.dcls.swap.plan import count_parameters
from audio_dcls.dcls.swap.rule import find_rule
from audio_dcls.dcls.swap.swap import plan_swap
from audio_dcls.errors import ArgumentError, ModelError


def depthwise(width: int, taps: int = 7, **keywords: object) -> nn.Conv2d:
    return nn.Conv2d(width, width, taps, padding=taps // 2, groups=width, **keywords)  # type: ignore[arg-type]


class Staged(nn.Module):
    """Two stages of equal width and one wider, with a stride and a 3x3 that the paper's rule does not match."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                nn.Sequential(depthwise(4), depthwise(4, 3), depthwise(4, bias=False)),
                nn.Sequential(nn.Conv2d(4, 4, 7, stride=2, padding=3, groups=4), depthwise(4)),
                nn.Sequential(nn.Conv2d(4, 8, 7, padding=3, groups=4), depthwise(8)),
            ]
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


def test_the_paper_rule_takes_depthwise_seven_by_seven_of_stride_one() -> None:
    plan = plan_swap(Staged())
    assert [entry.name for entry in plan.entries] == ["stages.0.0", "stages.0.2", "stages.1.1", "stages.2.1"]
    assert {(entry.new_kernel_size, entry.padding, entry.reason) for entry in plan.entries} == {
        ((23, 23), (11, 11), "depthwise 7x7 of stride 1")
    }


@pytest.mark.parametrize(
    ("share", "groups"),
    [
        ("width", [["stages.0.0", "stages.0.2", "stages.1.1"]]),
        ("stage", [["stages.0.0", "stages.0.2"]]),
        ("none", []),
    ],
)
def test_sharing_makes_one_tensor_of_each_group(share: str, groups: list[list[str]]) -> None:
    model = Staged()
    plan = plan_swap(model, dilated_kernel_size=(9, 11), kernel_count=3, share=share)
    assert list(plan.groups().values()) == groups
    report = plan.apply(model)
    layers = {entry.name: model.get_submodule(entry.name) for entry in plan.entries}
    for name, layer in layers.items():
        assert isinstance(layer, DclsConv2d) and layer.dilated_kernel_size == (9, 11)
        partners = next((group for group in groups if name in group), [name])
        for other_name, other in layers.items():
            assert (other.positions is layer.positions) == (other_name in partners)
            assert (other.spreads is layer.spreads) == (other_name in partners)
            assert (other.weight is layer.weight) == (other_name == name)
    changed = sum(entry.num_parameters_after - entry.num_parameters_before for entry in plan.entries)
    assert report.num_parameters_after - report.num_parameters_before == changed
    assert report.num_parameters_after == count_parameters(model)


def test_the_output_keeps_its_size_and_the_shared_gradient_is_the_sum() -> None:
    model, x = Staged(), torch.randn(2, 4, 12, 9)
    size = model(x).shape
    plan_swap(model, dilated_kernel_size=11, kernel_count=3).apply(model)
    assert model(x).shape == size
    group = [model.get_submodule(f"stages.{name}") for name in ("0.0", "0.2", "1.1")]
    (sum(layer.dense_kernel().square().sum() for layer in group)).backward()  # type: ignore[union-attr]
    together = group[0].positions.grad.clone()
    group[0].positions.grad = None
    for layer in group:
        layer.dense_kernel().square().sum().backward()
    torch.testing.assert_close(group[0].positions.grad, together)


def test_initial_values_follow_the_recipe_and_the_seed() -> None:
    def swapped() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            model = nn.Sequential(depthwise(512), depthwise(512))
            plan_swap(model).apply(model)
        return model

    model, twin = swapped(), swapped()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[name], rtol=0, atol=0)
    layer = model[0]
    # 13 312 draws and twice as many: standard deviations are known to 1 %
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)
    assert layer.positions.std().item() == pytest.approx(0.5, rel=0.03)
    assert torch.all(layer.spreads == 0.23) and torch.all(layer.bias == 0)


def test_depthwise_and_every_rule() -> None:
    model = nn.Sequential(depthwise(4), depthwise(4, 3, stride=2), nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 1))
    assert [entry.name for entry in plan_swap(model, "depthwise").entries] == ["0", "1"]
    plan = plan_swap(model, "every", dilated_kernel_size=9, kernel_count=4)
    assert [entry.name for entry in plan.entries] == ["0", "1", "2"]
    x = torch.randn(1, 4, 16, 13)
    size = model(x).shape
    plan.apply(model)
    assert model(x).shape == size and model[1].stride == (2, 2) and model[2].groups == 1


def test_a_predicate_chooses() -> None:
    model = nn.Sequential(depthwise(4), depthwise(4), depthwise(4))
    plan = plan_swap(model, lambda name, module: name in ("0", "2"))
    assert [entry.name for entry in plan.entries] == ["0", "2"]
    assert plan.rule == "predicate"


def test_one_and_three_axes() -> None:
    model = nn.ModuleDict({"a": nn.Conv1d(4, 4, 5, padding="same"), "b": nn.Conv3d(4, 4, 3, padding=(1, 1, 1))})
    plan_swap(model, "every", dilated_kernel_size=7, kernel_count=2).apply(model)
    assert isinstance(model["a"], DclsConv1d) and model["a"](torch.zeros(1, 4, 20)).shape == (1, 4, 20)
    assert isinstance(model["b"], DclsConv3d) and model["b"](torch.zeros(1, 4, 5, 6, 7)).shape == (1, 4, 5, 6, 7)


def test_dilation_padding_mode_type_and_mode_are_kept() -> None:
    model = nn.Sequential(depthwise(4, 3, dilation=3, padding_mode="circular").double()).eval()
    x = torch.randn(1, 4, 20, 20, dtype=torch.float64)
    size = model(x).shape
    plan_swap(model, "depthwise", dilated_kernel_size=9).apply(model)
    layer = model[0]
    assert layer.padding_mode == "circular" and layer.weight.dtype == torch.float64 and not layer.training
    assert model(x).shape == size


def test_a_module_used_twice_is_replaced_everywhere() -> None:
    conv = depthwise(4)
    model = nn.Sequential(conv, nn.Sequential(conv), conv)
    plan_swap(model).apply(model)
    assert model[0] is model[1][0] is model[2] and isinstance(model[0], DclsConv2d)


def test_bilinear_has_no_spreads() -> None:
    model = nn.Sequential(depthwise(4), depthwise(4))
    report = plan_swap(model, interpolation="bilinear", kernel_count=5).apply(model)
    assert model[0].spreads is None
    assert report.num_parameters_after == 2 * (4 * 5 + 4) + 2 * 4 * 5


@pytest.mark.parametrize("share", ["width", "none"])
def test_fitted_kernels_keep_the_output_where_there_is_an_element_a_tap(share: str) -> None:
    torch.manual_seed(0)
    model = Staged()
    x = torch.randn(2, 4, 21, 18)
    trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    expected = model(x)
    report = plan_swap(model, kernel_count=49, share=share).apply(model, transfer="fit")
    assert max(kept.relative_error for kept in report.transfers) < 1e-3
    for entry, kept in zip(report.plan.entries, report.transfers, strict=True):
        layer = model.get_submodule(entry.name)
        assert kept.name == entry.name and kept.bias == (layer.bias is not None)
        assert layer.bias is None or torch.equal(layer.bias, trained[f"{entry.name}.bias"])
        difference = layer.dense_kernel()[:, :, 8:15, 8:15] - trained[f"{entry.name}.weight"]
        assert difference.norm() < 1e-3 * trained[f"{entry.name}.weight"].norm()
    torch.testing.assert_close(model(x), expected, rtol=0, atol=2e-3 * expected.abs().max().item())


def test_fitting_too_few_elements_is_reported_layer_by_layer_and_beats_random() -> None:
    torch.manual_seed(0)
    model = Staged()
    trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    report = plan_swap(model, kernel_count=20).apply(model, transfer="fit")
    got = json.loads(json.dumps(report.to_json_dict()))
    assert got["transfer"] == "fit" and [kept["name"] for kept in got["transfers"]] == [
        e.name for e in report.plan.entries
    ]
    for kept, line in zip(report.transfers, str(report).splitlines(), strict=False):
        layer, kernel = model.get_submodule(kept.name), trained[f"{kept.name}.weight"]
        grown = torch.nn.functional.pad(kernel, (8,) * 4)
        error = float(((layer.dense_kernel() - grown).norm() / kernel.norm()).detach())
        assert error == pytest.approx(kept.relative_error, rel=1e-3) and error < 0.5  # white noise, the hardest to fit
        assert f"error {kept.relative_error:.3f}" in line and ("bias copied" in line) == kept.bias
    assert model.stages[0][0].positions is model.stages[1][1].positions  # type: ignore[index]


@pytest.mark.parametrize(
    ("conv", "taps"),
    [
        (nn.Conv2d(3, 3, 3, padding=3, dilation=3, groups=3, padding_mode="circular"), 9),
        (nn.Conv2d(2, 4, (3, 5), padding=(1, 2), stride=2), 7),
        (nn.Conv2d(3, 3, 4, padding=1, bias=False), 6),
        (nn.Conv2d(3, 3, 5, padding="same"), 8),
        (nn.Conv2d(3, 3, 4, padding="same"), 7),
    ],
    ids=["dilated", "strided", "even", "odd to even", "even to odd"],
)
def test_fitted_kernels_stay_where_they_were(conv: nn.Conv2d, taps: int) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(conv), torch.randn(1, conv.in_channels, 15, 16)
    expected = model(x)
    plan_swap(model, "every", dilated_kernel_size=taps, kernel_count=49).apply(model, transfer="fit")
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-3 * expected.abs().max().item())


def test_random_is_the_default_and_draws_what_it_drew() -> None:
    states = []
    for keywords in ({}, {"transfer": "random"}):
        torch.manual_seed(3)
        model = Staged()
        report = plan_swap(model).apply(model, **keywords)
        assert report.transfer == "random" and not report.transfers
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


def test_a_fit_that_cannot_be_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(depthwise(4))
    with pytest.raises(ArgumentError, match="transfer"):
        plan_swap(model).apply(model, transfer="copy")
    with pytest.raises(ArgumentError, match="at most"):
        plan_swap(model, dilated_kernel_size=5).apply(model, transfer="fit")
    assert type(model[0]) is nn.Conv2d
    with torch.device("meta"):
        empty = nn.Sequential(depthwise(4))
    with pytest.raises(ArgumentError, match="meta"):
        plan_swap(empty).apply(empty, transfer="fit")


def test_report_is_json_and_one_line_per_layer() -> None:
    model = Staged()
    report = plan_swap(model).apply(model)
    got = json.loads(json.dumps(report.to_json_dict()))
    assert [entry["name"] for entry in got["plan"]["entries"]] == [e.name for e in report.plan.entries]
    lines = str(report).splitlines()
    assert len(lines) == 5 and lines[0].startswith("stages.0.0  4  7x7 -> 23x23  group A")


def test_more_than_26_groups_keep_distinct_labels() -> None:
    model = nn.Sequential(*(depthwise(2 + index // 2, 3) for index in range(60)))
    plan = plan_swap(model, "depthwise", dilated_kernel_size=5)
    assert len(plan.groups()) == 30 and list(plan.groups())[25:28] == ["Z", "AA", "AB"]


class OwnArithmetic(nn.Conv2d):
    """A convolution with its own arithmetic."""


@pytest.mark.parametrize(
    ("model", "keywords", "error", "named"),
    [
        (nn.Sequential(nn.Linear(2, 2)), {}, ModelError, "matches no layer"),
        (nn.Sequential(depthwise(4)), {"dilated_kernel_size": 22}, ArgumentError, "even number"),
        (nn.Sequential(depthwise(4)), {"dilated_kernel_size": (23, 23, 23)}, ArgumentError, "dilated_kernel_size"),
        (nn.Sequential(depthwise(4)), {"kernel_count": 0}, ArgumentError, "kernel_count"),
        (nn.Sequential(depthwise(4)), {"share": "all"}, ArgumentError, "share"),
        (nn.Sequential(depthwise(4)), {"interpolation": "cubic"}, ArgumentError, "cubic"),
        (nn.Sequential(depthwise(4)), {"rule": "papers"}, ModelError, "papers"),
        (depthwise(4), {}, ModelError, "itself"),
        (nn.Sequential(OwnArithmetic(4, 4, 7, groups=4)), {"rule": lambda n, m: n == "0"}, ModelError, "OwnArithmetic"),
        (nn.Sequential(nn.Conv2d(4, 4, 7, groups=4)), {"dilated_kernel_size": 5}, ArgumentError, "padding"),
    ],
)
def test_what_cannot_be_is_refused(model: nn.Module, keywords: dict, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        plan_swap(model, **keywords)


def test_a_plan_for_another_model_is_refused() -> None:
    plan = plan_swap(nn.Sequential(depthwise(4)))
    for other in (nn.Sequential(), nn.Sequential(nn.ReLU()), nn.Sequential(depthwise(8))):
        with pytest.raises(ModelError, match="make a new plan"):
            plan.apply(other)


def test_a_subclass_is_not_matched_by_a_named_rule() -> None:
    with pytest.raises(ModelError, match="matches no layer"):
        plan_swap(nn.Sequential(OwnArithmetic(4, 4, 7, groups=4)), "depthwise")
    assert find_rule(find_rule("every")).name == "every"
