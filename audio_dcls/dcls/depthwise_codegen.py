"""Machine code for the depthwise weight gradient, generated for one map width, kernel width and processor.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

A vector holds one pixel of as many neighbouring channels as the processor has lanes: in channels_last memory they lie
side by side. Because widths are known when the code is generated, a row's products are written out one after the other,
each into the register of its tap, and pairs that would meet padding are never written: no borders, no waste. Per row of
the input and of the gradient this is `sum over b, v` of `grad[b] x[v]` into tap `j = v - b + padding`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

Value = Any
"""An LLVM value; llvmlite carries no types a checker could follow."""

_INDEX = ir.IntType(64)
_FLOAT = ir.FloatType()

POINTERS = ("x", "grad", "result", "scratch")
NUMBERS = (
    "num_batch", "num_group", "x_rows", "grad_rows", "first_tap", "last_tap", "num_tap_rows", "pad_rows",
    "x_batch_step", "x_row_step", "x_pixel_step", "grad_batch_step", "grad_row_step", "grad_pixel_step",
    "first_block", "last_block", "num_channels",
)  # fmt: skip
"""Arguments of the generated function: addresses, then 64-bit integers. Steps are in elements. A task covers channel
blocks `first_block .. last_block` and tap rows `first_tap .. last_tap`, and packs `num_group` clips at a time."""


@dataclasses.dataclass(frozen=True)
class KernelShape:
    """What the code is generated for."""

    x_width: int
    """Columns of the input."""
    grad_width: int
    """Columns of the output's gradient."""
    num_taps: int
    """Columns of the kernel."""
    padding: int
    """Zeros left and right of a row of the input."""
    is_bfloat16: bool
    """Whether input and gradient are bfloat16; float32 else. Sums are float32 always."""
    num_lanes: int
    """Channels of a vector."""
    num_registers: int
    """Vector registers of the processor."""

    @property
    def num_products(self) -> int:
        """Pairs of columns that meet: vector multiply-adds per row of the code."""
        return sum(
            0 <= b + j - self.padding < self.x_width for b in range(self.grad_width) for j in range(self.num_taps)
        )


def generate(shape: KernelShape, name: str) -> str:
    """LLVM assembly of the function `name(*POINTERS, *NUMBERS)`.

    It adds the gradient into `result`, float32 laid out (channel blocks, I, J, lanes); `scratch` holds
    `num_group * (x_rows * x_width + grad_rows * grad_width) * num_lanes` floats.
    """
    module = ir.Module(name)
    bytes_type = ir.IntType(8).as_pointer()
    kinds = [bytes_type] * len(POINTERS) + [_INDEX] * len(NUMBERS)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
    arguments: dict[str, Value] = dict(zip((*POINTERS, *NUMBERS), function.args, strict=True))
    _Emitter(shape, ir.IRBuilder(function.append_basic_block("entry")), arguments).emit()
    return str(module)


class _Emitter:
    """Writes one function; `arguments` are its parameters by name."""

    def __init__(self, shape: KernelShape, builder: Any, arguments: dict[str, Value]) -> None:
        self.shape, self.b, self.arguments = shape, builder, arguments
        self.vector = ir.VectorType(_FLOAT, shape.num_lanes)

    def emit(self) -> None:
        b, arg = self.b, self.arguments
        self.x_base, self.grad_base = arg["x"], arg["grad"]
        self.scratch = b.bitcast(arg["scratch"], self.vector.as_pointer())
        self.result = b.bitcast(arg["result"], self.vector.as_pointer())
        self._loop(arg["first_block"], arg["last_block"], self._emit_block)
        b.ret_void()

    def _emit_block(self, block: Value) -> None:
        """All clips of one block of channels, a group at a time."""
        b, arg = self.b, self.arguments
        first_channel = b.mul(block, _int(self.shape.num_lanes))
        lane = ir.Constant(ir.VectorType(_INDEX, self.shape.num_lanes), list(range(self.shape.num_lanes)))
        mask = b.icmp_unsigned("<", lane, self._splat(b.sub(arg["num_channels"], first_channel)))
        num_groups = b.udiv(b.add(arg["num_batch"], b.sub(arg["num_group"], _int(1))), arg["num_group"])

        def emit_group(group: Value) -> None:
            first = b.mul(group, arg["num_group"])
            count = self._min(arg["num_group"], b.sub(arg["num_batch"], first))
            x_plane = b.mul(arg["x_rows"], _int(self.shape.x_width))
            grad_plane = b.mul(arg["grad_rows"], _int(self.shape.grad_width))
            x_pack = self.scratch
            grad_pack = b.gep(self.scratch, [b.mul(arg["num_group"], x_plane)])
            self._emit_pack("x", x_pack, self.shape.x_width, first, count, first_channel, mask)
            self._emit_pack("grad", grad_pack, self.shape.grad_width, first, count, first_channel, mask)
            planes = (x_pack, x_plane, grad_pack, grad_plane)
            self._loop(arg["first_tap"], arg["last_tap"], lambda tap: self._emit_tap_row(block, tap, count, planes))

        self._loop(_int(0), num_groups, emit_group)

    def _emit_pack(
        self,
        source: str,
        target: Value,
        width: int,
        first: Value,
        count: Value,
        channel: Value,
        mask: Value,
    ) -> None:
        """Copy one block of channels of `count` clips side by side: strides of whole pixels would thrash the cache."""
        b, arg = self.b, self.arguments
        base, num_rows = arg[source], arg[f"{source}_rows"]

        def emit_row(clip: Value, row: Value) -> None:
            offset = b.mul(b.add(first, clip), arg[f"{source}_batch_step"])
            offset = b.add(b.add(offset, b.mul(row, arg[f"{source}_row_step"])), channel)
            packed = b.mul(b.add(b.mul(clip, num_rows), row), _int(width))

            def emit_pixel(column: Value) -> None:
                address = b.add(offset, b.mul(column, arg[f"{source}_pixel_step"]))
                value = self._load_pixel(base, address, mask)
                b.store(value, b.gep(target, [b.add(packed, column)]), align=4)

            self._loop(_int(0), _int(width), emit_pixel)

        self._loop(_int(0), count, lambda clip: self._loop(_int(0), num_rows, lambda row: emit_row(clip, row)))

    def _load_pixel(self, base: Value, offset: Value, mask: Value) -> Value:
        """One vector of channels as float32, zero where the mask is."""
        b, lanes = self.b, self.shape.num_lanes
        scalar = ir.IntType(16) if self.shape.is_bfloat16 else _FLOAT
        vector = ir.VectorType(scalar, lanes)
        suffix = f"v{lanes}i16" if self.shape.is_bfloat16 else f"v{lanes}f32"
        bits = ir.VectorType(ir.IntType(1), lanes)
        kind = ir.FunctionType(vector, [vector.as_pointer(), ir.IntType(32), bits, vector])
        name = f"llvm.masked.load.{suffix}.p0"
        load = b.module.globals.get(name) or ir.Function(b.module, kind, name)
        address = b.gep(b.bitcast(base, scalar.as_pointer()), [offset])
        zero = ir.Constant(vector, [ir.Constant(scalar, 0)] * lanes)
        align = ir.Constant(ir.IntType(32), 2 if self.shape.is_bfloat16 else 4)
        loaded = b.call(load, [b.bitcast(address, vector.as_pointer()), align, mask, zero])
        if not self.shape.is_bfloat16:
            return loaded
        words = ir.VectorType(ir.IntType(32), lanes)
        return b.bitcast(b.shl(b.zext(loaded, words), ir.Constant(words, [16] * lanes)), self.vector)

    def _emit_tap_row(self, block: Value, tap: Value, count: Value, planes: Sequence[Value]) -> None:
        """Every tap of one kernel row, as many at a time as registers hold."""
        b, arg = self.b, self.arguments
        x_pack, x_plane, grad_pack, grad_plane = planes
        shift = b.sub(tap, arg["pad_rows"])
        first = self._max(_int(0), b.neg(shift))
        last = self._min(arg["grad_rows"], b.sub(arg["x_rows"], shift))
        row_of_taps = b.mul(b.add(b.mul(block, arg["num_tap_rows"]), tap), _int(self.shape.num_taps))
        num_sums = self.shape.num_registers - self._tile - 4
        num_passes = -(-self.shape.num_taps // num_sums)
        for index in range(num_passes):
            taps = range(index * self.shape.num_taps // num_passes, (index + 1) * self.shape.num_taps // num_passes)
            slots = [b.gep(self.result, [b.add(row_of_taps, _int(j))]) for j in taps]

            def emit_row(clip: Value, row: Value, sums: list[Value], taps: range = taps) -> list[Value]:
                x_row = b.mul(b.add(row, shift), _int(self.shape.x_width))
                x_row = b.gep(x_pack, [b.add(b.mul(clip, x_plane), x_row)])
                grad_row = b.mul(row, _int(self.shape.grad_width))
                grad_row = b.gep(grad_pack, [b.add(b.mul(clip, grad_plane), grad_row)])
                return self._emit_products(x_row, grad_row, taps, sums)

            def emit_clip(clip: Value, sums: list[Value], emit_row: Callable = emit_row) -> list[Value]:
                return self._loop_carrying(first, last, sums, lambda row, inner: emit_row(clip, row, inner))

            # Each group of clips is summed from zero: short sums lose fewer bits.
            zeros: list[Value] = [ir.Constant(self.vector, [0.0] * self.shape.num_lanes)] * len(taps)
            for value, slot in zip(self._loop_carrying(_int(0), count, zeros, emit_clip), slots, strict=True):
                b.store(b.fadd(b.load(slot, align=4), value), slot, align=4)

    @property
    def _tile(self) -> int:
        """Gradient columns held in registers while a column of the input is multiplied with each."""
        return 4 if self.shape.num_registers >= 32 else 2

    def _emit_products(self, x_row: Value, grad_row: Value, taps: range, sums: list[Value]) -> list[Value]:
        b, shape, sums = self.b, self.shape, list(sums)
        for start in range(0, shape.grad_width, self._tile):
            columns = range(start, min(start + self._tile, shape.grad_width))
            gradients: dict[int, Value] = {}
            low = max(0, start + taps.start - shape.padding)
            high = min(shape.x_width, columns.stop + taps.stop - 1 - shape.padding)
            for v in range(low, high):
                pixel = b.load(b.gep(x_row, [_int(v)]), align=4)
                for column in columns:
                    j = v - column + shape.padding
                    if j not in taps:
                        continue
                    if column not in gradients:
                        gradients[column] = b.load(b.gep(grad_row, [_int(column)]), align=4)
                    product = b.fmul(gradients[column], pixel, flags=("contract",))
                    sums[j - taps.start] = b.fadd(sums[j - taps.start], product, flags=("contract",))
        return sums

    def _loop(self, start: Value, stop: Value, emit: Callable[[Value], None]) -> None:
        def emit_body(index: Value, carried: list[Value]) -> list[Value]:
            emit(index)
            return carried

        self._loop_carrying(start, stop, [], emit_body)

    def _loop_carrying(
        self,
        start: Value,
        stop: Value,
        values: list[Value],
        emit: Callable[[Value, list[Value]], list[Value]],
    ) -> list[Value]:
        """`for index in start .. stop: values = emit(index, values)`; returns the last values."""
        b = self.b
        before = b.block
        head, body, after = (b.append_basic_block(part) for part in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(_INDEX)
        carried = [b.phi(value.type) for value in values]
        b.cbranch(b.icmp_signed("<", index, stop), body, after)
        b.position_at_end(body)
        results = emit(index, list(carried))
        following = b.add(index, _int(1))
        index.add_incoming(start, before)
        index.add_incoming(following, b.block)
        for phi, value, result in zip(carried, values, results, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(result, b.block)
        b.branch(head)
        b.position_at_end(after)
        return list(carried)

    def _min(self, left: Value, right: Value) -> Value:
        return self.b.select(self.b.icmp_signed("<", left, right), left, right)

    def _max(self, left: Value, right: Value) -> Value:
        return self.b.select(self.b.icmp_signed(">", left, right), left, right)

    def _splat(self, value: Value) -> Value:
        kind = ir.VectorType(_INDEX, self.shape.num_lanes)
        single = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.shape.num_lanes), [0] * self.shape.num_lanes)
        return self.b.shuffle_vector(single, ir.Constant(kind, ir.Undefined), zeros)


def _int(value: int) -> Value:
    return ir.Constant(_INDEX, value)
