"""A short training of timm's public factories, as its script calls them, for `audio_dcls.models.image_training`."""

from __future__ import annotations

import argparse
import sys

import timm
import torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.scheduler import create_scheduler_v2, scheduler_kwargs
from torch import nn


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir")
    parser.add_argument("--model", required=True)
    parser.add_argument("--opt", required=True)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--img-size", type=int, default=64)
    defaults = {"momentum": 0.9, "opt_eps": None, "opt_betas": None, "layer_decay": None, "sched": "cosine"}
    schedule = {"min_lr": 1e-6, "warmup_lr": 1e-5, "warmup_epochs": 1, "cooldown_epochs": 0, "decay_epochs": 1}
    rest = {"decay_rate": 0.1, "patience_epochs": 1, "warmup_prefix": False, "sched_on_updates": True, "opt_kwargs": {}}
    args = parser.parse_args(namespace=argparse.Namespace(**defaults, **schedule, **rest))
    torch.manual_seed(0)
    model = timm.create_model(args.model, num_classes=4, drop_path_rate=0.1, global_pool=None, bn_eps=None)
    config = resolve_data_config({"img_size": args.img_size}, model=model)
    dataset = create_dataset("", root=args.data_dir, split="train", is_training=True, batch_size=8)
    loader = create_loader(
        dataset,
        input_size=config["input_size"],
        batch_size=8,
        is_training=True,
        use_prefetcher=True,
        num_workers=0,
        device=torch.device("cpu"),
        persistent_workers=False,
        pin_memory=False,
    )
    optimizer = create_optimizer_v2(model, **optimizer_kwargs(cfg=args), **args.opt_kwargs)
    scheduler, num_epochs = create_scheduler_v2(optimizer, **scheduler_kwargs(args), updates_per_epoch=len(loader))
    for epoch in range(num_epochs):
        losses = []
        for step, (images, classes) in enumerate(loader):
            loss = nn.functional.cross_entropy(model(images), classes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step_update(epoch * len(loader) + step + 1)
            losses.append(loss.item())
        rates = sorted({round(group["lr"], 9) for group in optimizer.param_groups})
        sys.stdout.write(f"epoch {epoch} loss {sum(losses) / len(losses):.3f} rates {rates}\n")


if __name__ == "__main__":
    main()
