"""DCLS in image models: no larger than their originals, as timm's factories take them, trained a few steps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import Tensor, nn
from torchvision.utils import save_image

from audio_dcls.dcls.parameters import dcls_layers
from audio_dcls.errors import ArgumentError
from audio_dcls.models.image_models import IMAGE_SWAPS
from audio_dcls.models.image_training import run_script

NUM_CLASSES = 4


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", IMAGE_SWAPS)
def test_no_more_parameters_than_the_original(name: str) -> None:
    swap = IMAGE_SWAPS[name]
    with torch.device("meta"):
        ours, original = timm.create_model(name), timm.create_model(swap.original)
    assert count(ours) <= count(original)
    layers = dcls_layers(ours).values()
    assert {layer.kernel_size for layer in layers} == {(swap.kernel_size, swap.kernel_size)}
    assert {layer.weight.shape[-1] for layer in layers} == {swap.kernel_count}
    plain = [m for m in original.modules() if isinstance(m, nn.Conv2d) and m.stride == (1, 1) and m.groups > 1]
    every = [m for m in original.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(layers) == len(plain if swap.rule == "paper" else every)


def test_one_element_more_would_make_resnet_larger() -> None:
    from audio_dcls.dcls import plan_swap

    with torch.device("meta"):
        original, larger = timm.create_model("resnet50"), timm.create_model("resnet50")
        swap = IMAGE_SWAPS["resnet50_dcls_bilinear"]
        more = swap.kernel_count + 1
        plan_swap(larger, "every", dilated_kernel_size=7, kernel_count=more, interpolation="bilinear").apply(larger)
    assert count(larger) > count(original)


def made_images(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Stripes of one of four directions under noise."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(4)
    angles = classes * torch.pi / 4
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    waves = torch.sin((x * angles.cos()[:, None, None] + y * angles.sin()[:, None, None]) / 3)
    return waves[:, None] + 0.3 * torch.randn(4, 3, size, size, generator=generator), classes


def train(name: str, size: int, num_steps: int) -> tuple[nn.Module, list[float], dict[str, Tensor]]:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=NUM_CLASSES)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = create_optimizer_v2(model, "dclsadamw", lr=2e-3, weight_decay=0.05)
    images, classes = made_images(size)
    losses = []
    for _ in range(num_steps):
        loss = nn.functional.cross_entropy(model(images), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return model, losses, before


def check_trained(name: str, model: nn.Module, losses: list[float], before: dict[str, Tensor]) -> None:
    assert all(loss == loss for loss in losses)
    assert losses[-1] < losses[0]
    moved = {key for key, value in model.named_parameters() if not torch.equal(value, before[key])}
    positions = {key for key in before if key.endswith(".positions")}
    assert positions
    assert positions <= moved
    limit = IMAGE_SWAPS[name].kernel_size // 2
    if IMAGE_SWAPS[name].interpolation == "bilinear":
        assert all(layer.positions.abs().max() <= limit for layer in dcls_layers(model).values())


@pytest.mark.parametrize("name", ["convnext_tiny_dcls_bilinear", "convnext_tiny_dcls_gauss"])
def test_three_steps_at_64(name: str) -> None:
    check_trained(name, *train(name, 64, 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", IMAGE_SWAPS)
def test_three_steps_at_224(name: str) -> None:
    model, *trained = train(name, 224, 3)
    check_trained(name, model, *trained)
    with torch.no_grad():
        assert model.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, NUM_CLASSES)


def test_positions_learn_five_times_as_fast_through_timms_factory_and_schedule() -> None:
    """Adam's first step is the rate, whatever the gradient: so far every parameter goes."""
    torch.manual_seed(0)
    model = timm.create_model("convnext_tiny_dcls_gauss", num_classes=NUM_CLASSES)
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    optimizer = create_optimizer_v2(model, "dclsadamw", lr=1e-3, weight_decay=0.5, eps=1e-20)
    schedule = CosineLRScheduler(optimizer, t_initial=10, warmup_t=2, warmup_lr_init=0, t_in_epochs=False)
    schedule.step_update(1)
    model(made_images(64)[0]).square().mean().backward()
    optimizer.step()
    ways = {key: (value - before[key]).abs().max().item() for key, value in model.named_parameters()}
    positions = [way for key, way in ways.items() if key.endswith((".positions", ".spreads"))]
    assert max(positions) == pytest.approx(5 * 5e-4, rel=1e-3)  # half of the warm-up
    assert ways["head.fc.bias"] == pytest.approx(5e-4, rel=1e-2)
    decays = {id(parameter): group["weight_decay"] for group in optimizer.param_groups for parameter in group["params"]}
    assert len(decays) == len(list(model.parameters()))
    named = dict(model.named_parameters())
    assert all(decays[id(named[key])] == 0 for key in named if key.endswith((".positions", ".spreads", ".bias")))
    assert all(decays[id(named[key])] == 0.5 for key in named if key.endswith("conv_dw.weight"))


def test_lamb_and_plain_parameters_are_taken_too() -> None:
    model = timm.create_model("convnext_tiny_dcls_bilinear", num_classes=NUM_CLASSES)
    optimizer = create_optimizer_v2(model.parameters(), "dclslamb", lr=1e-3)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, pytest.approx(5e-3)]


def test_a_script_finds_the_models_and_optimisers(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, timm, timm.optim\n"
        "print(sys.argv[1:], timm.is_model(sys.argv[1]), 'dclsadamw' in timm.optim.list_optimizers())\n"
    )
    command = [sys.executable, "-m", "audio_dcls.models.image_training"]
    done = subprocess.run([*command, script, "resnet50_dcls_bilinear"], capture_output=True, text=True, check=True)
    assert done.stdout == "['resnet50_dcls_bilinear'] True True\n"
    done = subprocess.run([*command, "none.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no training script 'none.py'; give one first")
    with pytest.raises(ArgumentError, match="no training script is named"):
        run_script([])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "optimiser"), [("convnext_tiny_dcls_gauss", "dclsadamw"), ("resnet50_dcls_bilinear", "dclslamb")]
)
def test_a_folder_of_made_images_through_timms_factories(name: str, optimiser: str, tmp_path: Path) -> None:
    for seed in range(8):
        images, classes = made_images(72, seed)
        for image, label in zip(images, classes.tolist(), strict=True):
            folder = tmp_path / "images" / "train" / f"stripes{label}"
            folder.mkdir(parents=True, exist_ok=True)
            save_image(image, folder / f"{seed}.png", normalize=True)
    script = Path(__file__).with_name("image_script.py")
    command = [sys.executable, "-m", "audio_dcls.models.image_training", script, tmp_path / "images"]
    done = subprocess.run(
        [*command, "--model", name, "--opt", optimiser], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    losses = [float(value) for value in re.findall(r"loss (\S+)", done.stdout)]
    assert len(losses) == 2
    slow, fast = (float(rate) for rate in re.findall(r"epoch 0 .*rates \[(\S+), (\S+)\]", done.stdout)[0])
    assert fast == pytest.approx(5 * slow, rel=0.2)  # both fall to one least rate
