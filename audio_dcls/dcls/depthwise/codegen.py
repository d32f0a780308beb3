"""Machine code for depthwise convolution, generated for one map width, kernel width and processor: the shared parts.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

A vector holds one pixel of as many neighbouring channels as the processor has lanes: in channels_last memory they lie
side by side. Because widths are known when the code is generated, a row's products are written out one after the other,
each into the register of its sum, and pairs that would meet padding are never written: no borders, no waste.

Convolution and weight gradient differ only in what they hold and what they sum. With v a column of the input, h one of
what is held (a tap, or a column of the output's gradient) and s of what is summed (a column of the output, or a tap)

    sum[s] += held[h] * x[v],    s = v - h + padding

In bfloat16, processors that multiply pairs hold columns h and h + 1 together and meet columns v and v + 1 of the input.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

Value = Any
"""An LLVM value; llvmlite carries no types a checker could follow."""

INDEX = ir.IntType(64)
FLOAT = ir.FloatType()
HEADER = ("next_task", "next_worker", "num_tasks", "scratch", "worker_bytes")
"""First fields of every argument block; the first two are counters that the workers share."""

_QUIET_NAN = 0x7FC0
_NUM_SPARE_REGISTERS = 4


@dataclasses.dataclass(frozen=True)
class RowShape:
    """What code is generated for."""

    x_width: int
    """Columns of the input."""
    out_width: int
    """Columns of the output."""
    num_taps: int
    """Columns of the kernel."""
    padding: int
    """Zeros left and right of a row of the input."""
    is_bfloat16: bool
    """Whether input and output are bfloat16; float32 else. Sums are float32 always."""
    has_pairs: bool
    """Whether two neighbouring columns are multiplied in one instruction (bfloat16 only)."""
    num_lanes: int
    """Channels of a vector."""
    num_registers: int
    """Vector registers of the processor."""

    @property
    def num_products(self) -> int:
        """Pairs of columns that meet: vector multiply-adds per row of the code."""
        return sum(
            0 <= b + j - self.padding < self.x_width for b in range(self.out_width) for j in range(self.num_taps)
        )

    @property
    def unit(self) -> int:
        """Columns held in one vector."""
        return 2 if self.has_pairs else 1

    @property
    def packed_x_width(self) -> int:
        """Vectors of a packed row of the input: pairs begin one column early."""
        return self.x_width + self.unit - 1


class _BFloat16(ir.Type):
    """LLVM's `bfloat`, which llvmlite does not name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


class _VolatileLoad(ir.instructions.LoadInstr):
    """A load LLVM neither moves nor merges with an equal one.

    Merged loads live too long: the registers run out, sums are spilled, and the code takes twice the time.
    """

    def descr(self, buf: list[str]) -> None:
        super().descr(buf)
        buf[-1] = buf[-1].replace("load ", "load volatile ", 1)


class Emitter:
    """Writes one function `void name(int64_t *arguments)`, which takes tasks off a shared counter until none is left.

    Args:
        shape: what the code is for.
        fields: names of the arguments after `HEADER`: addresses and numbers, 64 bits each.

    A subclass writes a task in `emit_task`.
    """

    def __init__(self, shape: RowShape, fields: Sequence[str]) -> None:
        self.shape = shape
        self.fields = (*HEADER, *fields)
        self.vector = ir.VectorType(FLOAT, shape.num_lanes)
        self.words = ir.VectorType(ir.IntType(32), shape.num_lanes)

    def generate(self, name: str) -> str:
        """LLVM assembly of the function."""
        module = ir.Module(name)
        kind = ir.FunctionType(ir.VoidType(), [INDEX.as_pointer()])
        function = ir.Function(module, kind, name)
        self.b: Any = ir.IRBuilder(function.append_basic_block("entry"))
        counters = [self.b.gep(function.args[0], [integer(place)]) for place in range(2)]
        self.arg = {
            field: self.b.load(self.b.gep(function.args[0], [integer(place)]))
            for place, field in enumerate(self.fields)
            if place >= 2
        }
        worker = self.b.atomic_rmw("add", counters[1], integer(1), "monotonic")
        scratch = self.b.add(self.arg["scratch"], self.b.mul(worker, self.arg["worker_bytes"]))
        self.scratch = self.pointer(scratch, self.vector)

        def next_task(_: Value = None) -> Value:
            return self.b.atomic_rmw("add", counters[0], integer(1), "monotonic")

        def emit(task: Value) -> Value:
            self.emit_task(task)
            return next_task()

        self.loop_while(next_task(), self.arg["num_tasks"], emit)
        self.b.ret_void()
        return str(module)

    def emit_task(self, task: Value) -> None:
        """Write one task."""
        raise NotImplementedError

    # Blocks of channels ----------------------------------------------------------------------------------------------

    def enter_block(self, block: Value) -> None:
        """Set `self.channel`, the block's first channel, and `self.mask`, which of its lanes are channels."""
        b, lanes = self.b, self.shape.num_lanes
        self.channel = b.mul(block, integer(lanes))
        lane = ir.Constant(ir.VectorType(INDEX, lanes), list(range(lanes)))
        left = b.sub(self.arg["num_channels"], self.channel)
        self.mask = b.icmp_unsigned("<", lane, self._splat(left))

    def pack_row(self, base: Value, pixel_step: Value, target: Value, width: int) -> None:
        """Copy a row of this block's channels side by side: strides of whole pixels would thrash the cache.

        Pairs hold columns v - 1 and v at place v, so that there is a pair for every place of a tap.
        """
        b = self.b
        none = ir.Constant(self.words, None)

        def emit_pixel(column: Value, carried: list[Value]) -> list[Value]:
            address = b.add(base, b.mul(b.mul(column, pixel_step), integer(self.element_bytes)))
            value = self._load_pixel(address)
            if not self.shape.has_pairs:
                b.store(value, b.gep(target, [column]), align=4)
                return carried
            self.store_pair(carried[0], value, b.gep(target, [column]))
            return [value]

        last = self.loop_carrying(integer(0), integer(width), [none] if self.shape.has_pairs else [], emit_pixel)
        if self.shape.has_pairs:
            self.store_pair(last[0], none, b.gep(target, [integer(width)]))

    @property
    def element_bytes(self) -> int:
        """Bytes of one number of the input or output."""
        return 2 if self.shape.is_bfloat16 else 4

    def load_masked(self, address: Value, scalar: Any) -> Value:
        """A vector of this block's channels at an address, zero where there is no channel."""
        b, lanes = self.b, self.shape.num_lanes
        vector = ir.VectorType(scalar, lanes)
        is_float = scalar == FLOAT
        kind = ir.FunctionType(vector, [vector.as_pointer(), ir.IntType(32), self.mask.type, vector])
        load = self.intrinsic(f"llvm.masked.load.v{lanes}{'f32' if is_float else 'i16'}.p0", kind)
        align = ir.Constant(ir.IntType(32), 4 if is_float else 2)
        return b.call(load, [self.pointer(address, vector), align, self.mask, ir.Constant(vector, None)])

    def _load_pixel(self, address: Value) -> Value:
        """This block's channels of one pixel: float32, or the words of bfloat16 pairs-to-be."""
        if not self.shape.is_bfloat16:
            return self.load_masked(address, FLOAT)
        words = self.b.zext(self.load_masked(address, ir.IntType(16)), self.words)
        return words if self.shape.has_pairs else self.b.bitcast(self.b.shl(words, self.word(16)), self.vector)

    def store_masked(self, value: Value, address: Value) -> None:
        """Write a vector of sums to this block's channels of one pixel of the output."""
        b, lanes = self.b, self.shape.num_lanes
        scalar, suffix, align = FLOAT, "f32", 4
        if self.shape.is_bfloat16:
            scalar, suffix, align = ir.IntType(16), "i16", 2
            value = b.trunc(self.rounded(value), ir.VectorType(scalar, lanes))
        vector = ir.VectorType(scalar, lanes)
        kind = ir.FunctionType(ir.VoidType(), [vector, vector.as_pointer(), ir.IntType(32), self.mask.type])
        store = self.intrinsic(f"llvm.masked.store.v{lanes}{suffix}.p0", kind)
        b.call(store, [value, self.pointer(address, vector), ir.Constant(ir.IntType(32), align), self.mask])

    def store_pair(self, first: Value, second: Value, target: Value) -> None:
        """Write the words of two bfloat16 side by side."""
        pair = self.b.or_(first, self.b.shl(second, self.word(16)))
        self.b.store(self.b.bitcast(pair, self.vector), target, align=4)

    def rounded(self, value: Value) -> Value:
        """float32 -> the words of the nearest bfloat16, ties to even; what is not a number stays so."""
        b = self.b
        bits = b.bitcast(value, self.words)
        odd = b.and_(b.lshr(bits, self.word(16)), self.word(1))
        nearest = b.lshr(b.add(bits, b.add(odd, self.word(0x7FFF))), self.word(16))
        return b.select(b.fcmp_unordered("uno", value, value), self.word(_QUIET_NAN), nearest)

    # Products --------------------------------------------------------------------------------------------------------

    def split_sums(self, num_sums: int) -> list[range]:
        """Sums in as many equal parts as it takes for one to fit the registers beside the smallest tile."""
        most = self.shape.num_registers - self._min_tile - _NUM_SPARE_REGISTERS
        num_parts = -(-num_sums // most)
        edges = [index * num_sums // num_parts for index in range(num_parts + 1)]
        return [range(start, stop) for start, stop in itertools.pairwise(edges)]

    @property
    def _min_tile(self) -> int:
        return 4 if self.shape.num_registers >= 32 else 2

    def products(
        self, x_row: Value, held_row: Value, held_places: Sequence[int], which: range, sums: Sequence[Value]
    ) -> list[Value]:
        """Add one row's products to the sums `which`; a tile of what is held stays in registers meanwhile.

        Args:
            x_row: packed row of the input.
            held_row: packed row of what is held.
            held_places: where in it each column held is, or pair of them, in order.
            which: columns of the sums.
            sums: their values so far.
        """
        shape, sums = self.shape, list(sums)
        unit, first_column = shape.unit, 1 - shape.unit
        tile = max(self._min_tile, shape.num_registers - len(which) - _NUM_SPARE_REGISTERS)
        for start in range(0, len(held_places), tile):
            places = range(start, min(start + tile, len(held_places)))
            held: dict[int, Value] = {}
            low = max(first_column, which.start + unit * places.start - shape.padding)
            high = min(shape.x_width, which.stop + unit * places[-1] - shape.padding)
            for v in range(low, high):
                meets = [h for h in places if v - unit * h + shape.padding in which]
                pixel = self._load_once(x_row, v - first_column) if meets else None
                for h in meets:
                    if h not in held:
                        held[h] = self._load_once(held_row, held_places[h])
                    place = v - unit * h + shape.padding - which.start
                    sums[place] = self._multiply_add(sums[place], held[h], pixel)
        return sums

    def _load_once(self, row: Value, place: int) -> Value:
        load: Any = _VolatileLoad(self.b.block, self.b.gep(row, [integer(place)]), typ=self.vector)
        load.align = 4
        self.b._insert(load)
        return load

    def _multiply_add(self, total: Value, left: Value, right: Value) -> Value:
        b = self.b
        if not self.shape.has_pairs:
            return b.fadd(total, b.fmul(left, right, flags=("contract",)), flags=("contract",))
        pairs = ir.VectorType(_BFloat16(), 2 * self.shape.num_lanes)
        kind = ir.FunctionType(self.vector, [self.vector, pairs, pairs])
        dot = self.intrinsic("llvm.x86.avx512bf16.dpbf16ps.512", kind)
        return b.call(dot, [total, b.bitcast(left, pairs), b.bitcast(right, pairs)])

    # Pieces ----------------------------------------------------------------------------------------------------------

    def zeros(self, count: int) -> list[Value]:
        """As many vectors of zeros."""
        return [ir.Constant(self.vector, None)] * count

    def word(self, value: int) -> Value:
        """The same 32-bit integer in every lane."""
        return ir.Constant(self.words, [value] * self.shape.num_lanes)

    def pointer(self, address: Value, kind: Any) -> Value:
        """An address as a pointer to values of a type."""
        return self.b.inttoptr(address, kind.as_pointer())

    def intrinsic(self, name: str, kind: Any) -> Value:
        """One of LLVM's own functions, declared once."""
        return self.b.module.globals.get(name) or ir.Function(self.b.module, kind, name)

    def loop(self, start: Value, stop: Value, emit: Callable[[Value], None]) -> None:
        """`for index in start .. stop: emit(index)`."""

        def emit_body(index: Value, carried: list[Value]) -> list[Value]:
            emit(index)
            return carried

        self.loop_carrying(start, stop, [], emit_body)

    def loop_carrying(
        self,
        start: Value,
        stop: Value,
        values: list[Value],
        emit: Callable[[Value, list[Value]], list[Value]],
    ) -> list[Value]:
        """`for index in start .. stop: values = emit(index, values)`; returns the last values."""

        def emit_body(index: Value, carried: list[Value]) -> tuple[Value, list[Value]]:
            results = emit(index, carried)
            return self.b.add(index, integer(1)), results

        return self._loop(start, stop, values, emit_body)

    def loop_while(self, start: Value, stop: Value, emit: Callable[[Value], Value]) -> None:
        """`index = start; while index < stop: index = emit(index)`."""
        self._loop(start, stop, [], lambda index, carried: (emit(index), carried))

    def _loop(
        self,
        start: Value,
        stop: Value,
        values: list[Value],
        emit: Callable[[Value, list[Value]], tuple[Value, list[Value]]],
    ) -> list[Value]:
        b = self.b
        before = b.block
        head, body, after = (b.append_basic_block(part) for part in ("head", "body", "after"))
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(INDEX)
        carried = [b.phi(value.type) for value in values]
        b.cbranch(b.icmp_signed("<", index, stop), body, after)
        b.position_at_end(body)
        following, results = emit(index, list(carried))
        index.add_incoming(start, before)
        index.add_incoming(following, b.block)
        for phi, value, result in zip(carried, values, results, strict=True):
            phi.add_incoming(value, before)
            phi.add_incoming(result, b.block)
        b.branch(head)
        b.position_at_end(after)
        return list(carried)

    def min(self, left: Value, right: Value) -> Value:
        """The smaller of two integers."""
        return self.b.select(self.b.icmp_signed("<", left, right), left, right)

    def max(self, left: Value, right: Value) -> Value:
        """The larger of two integers."""
        return self.b.select(self.b.icmp_signed(">", left, right), left, right)

    def share(self, total: Value, part: Value, num_parts: Value) -> Value:
        """Where a part of several equal ones begins: `total * part // num_parts`."""
        return self.b.udiv(self.b.mul(total, part), num_parts)

    def _splat(self, value: Value) -> Value:
        kind = ir.VectorType(INDEX, self.shape.num_lanes)
        single = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.shape.num_lanes), None)
        return self.b.shuffle_vector(single, ir.Constant(kind, ir.Undefined), zeros)


def integer(value: int) -> Value:
    """A 64-bit constant."""
    return ir.Constant(INDEX, value)
