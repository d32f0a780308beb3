"""Compile generated code for this processor, and run it; needs llvmlite."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import llvmlite.binding as llvm
import torch

from audio_dcls.dcls.depthwise.codegen import RowShape
from audio_dcls.dcls.depthwise.codegen_forward import ForwardEmitter
from audio_dcls.dcls.depthwise.codegen_gradient import GradientEmitter
from audio_dcls.dcls.depthwise.threads import TASK_FUNCTION, run_on_threads


def generate(kind: str, x_width: int, out_width: int, num_taps: int, padding: int, is_bfloat16: bool) -> Code:
    """The code for the widths of a map and a kernel, made on the first call and kept for the process.

    Args:
        kind: "forward" or "gradient".
        x_width, out_width, num_taps, padding, is_bfloat16: as in `RowShape`.
    """
    has_pairs = is_bfloat16 and has_pair_products()
    return _compile(kind, RowShape(x_width, out_width, num_taps, padding, is_bfloat16, has_pairs, *host_vectors()))


@functools.cache
def host_vectors() -> tuple[int, int]:
    """Float32 lanes of this processor's widest vector, and its number of such registers.

    >>> all(number >= 4 for number in host_vectors())
    True
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 16, 32
    if features.get("avx"):
        return 8, 16
    return 4, 32 if "aarch64" in llvm.get_process_triple() or "arm64" in llvm.get_process_triple() else 16


@functools.cache
def has_pair_products() -> bool:
    """True if this processor adds two products of bfloat16 numbers to a float32 number in one instruction."""
    features = llvm.get_host_cpu_features()
    return bool(features.get("avx512f") and features.get("avx512bf16"))


class Code:
    """A generated function and the engine that owns its memory."""

    def __init__(self, function: Any, engine: Any, fields: Sequence[str], num_lanes: int) -> None:
        self.function, self.engine, self.fields, self.num_lanes = function, engine, fields, num_lanes
        self.block_type = ctypes.c_int64 * len(fields)

    def run(self, numbers: Mapping[str, int], num_tasks: int, num_threads: int, worker_bytes: int) -> None:
        """Run all tasks on up to `num_threads` threads, each with its own scratch memory."""
        num_workers = min(num_threads, num_tasks)
        worker_bytes = -(-worker_bytes // 64) * 64
        scratch = torch.empty(num_workers * worker_bytes + 64, dtype=torch.uint8)
        header = {
            "next_task": 0, "next_worker": 0, "num_tasks": num_tasks,
            "scratch": -(-scratch.data_ptr() // 64) * 64, "worker_bytes": worker_bytes,
        }  # fmt: skip
        arguments = self.block_type(*[header[field] if field in header else numbers[field] for field in self.fields])
        run_on_threads(self.function, arguments, num_workers)


@functools.lru_cache(maxsize=256)
def _compile(kind: str, shape: RowShape) -> Code:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name = f"depthwise_{kind}"
    emitter = ForwardEmitter(shape) if kind == "forward" else GradientEmitter(shape)
    module = llvm.parse_assembly(emitter.generate(name))
    module.verify()
    # LLVM's tuning for some processors splits 512-bit vectors, which leaves too few registers for a row of taps.
    features = llvm.get_host_cpu_features()
    flags = features.flatten() + (",-prefer-256-bit" if features.get("avx512f") else "")
    target = llvm.Target.from_triple(llvm.get_process_triple())
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=flags, opt=2, jit=True)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    return Code(TASK_FUNCTION(engine.get_function_address(name)), engine, emitter.fields, shape.num_lanes)
