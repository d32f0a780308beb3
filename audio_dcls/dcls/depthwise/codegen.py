"""Code generation for depthwise convolution, for one map width, kernel width and processor: the shared parts.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

A vector holds one pixel of as many channels as the processor has lanes: in channels_last memory they are neighbours.
Widths are known when the code is generated, so the products of a row are written out one after the other, each into
the register of its sum, and products with padding are never written.

Convolution and weight gradient differ only in what stays in registers and what is summed. Let v be a column of the
input; h a held column (a tap, or a column of the output's gradient); s a summed column (of the output, or a tap). Then

    sum[s] += held[h] * x[v],    s = v - h + padding

In bfloat16, processors that multiply pairs hold columns h and h + 1 together; they meet columns v and v + 1 of the
input.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

Value = Any
"""An LLVM value; llvmlite has no type annotations."""

INDEX = ir.IntType(64)
FLOAT = ir.FloatType()
_HEADER = ("next_task", "next_worker", "num_tasks", "scratch", "worker_bytes")
"""First fields of every argument block; the first two are counters shared by the workers."""
_QUIET_NAN = 0x7FC0
_NUM_SPARE_REGISTERS = 4


@dataclasses.dataclass(frozen=True)
class RowShape:
    """The columns of input, output and kernel (taps), and the processor that code is generated for."""

    x_width: int
    out_width: int
    num_taps: int
    padding: int
    """Zeros left and right of a row of the input."""
    is_bfloat16: bool
    """True if input and output are bfloat16, False if they are float32. Sums are always float32."""
    has_pairs: bool
    """True if one instruction multiplies two neighbouring columns (bfloat16 only)."""
    num_lanes: int
    """Channels per vector."""
    num_registers: int
    """Vector registers of the processor."""

    @property
    def num_products(self) -> int:
        """Vector multiply-adds per row: pairs of columns that meet."""
        return sum(
            0 <= b + j - self.padding < self.x_width for b in range(self.out_width) for j in range(self.num_taps)
        )

    @property
    def unit(self) -> int:
        """Columns per held vector."""
        return 2 if self.has_pairs else 1

    @property
    def packed_x_width(self) -> int:
        """Vectors per packed row of the input; pairs begin one column early."""
        return self.x_width + self.unit - 1


class _BFloat16(ir.Type):
    """LLVM's type `bfloat`, which llvmlite lacks."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


class _VolatileLoad(ir.instructions.LoadInstr):
    """A load that LLVM neither moves nor merges with an equal one.

    Merged loads occupy registers for too long: sums are spilled to memory, and the code takes twice the time.
    """

    def descr(self, buf: list[str]) -> None:
        super().descr(buf)
        buf[-1] = buf[-1].replace("load ", "load volatile ", 1)


class Emitter:
    """Writes one function `void name(int64_t *arguments)`, which takes tasks from a shared counter until all are done.

    `fields` are the names of the arguments after `_HEADER`: addresses and numbers, 64 bits each. A subclass writes the
    code of a task in `emit_task`.
    """

    def __init__(self, shape: RowShape, fields: Sequence[str]) -> None:
        self.shape = shape
        self.fields = (*_HEADER, *fields)
        self.vector = ir.VectorType(FLOAT, shape.num_lanes)
        self.words = ir.VectorType(ir.IntType(32), shape.num_lanes)

    def generate(self, name: str) -> str:
        """The LLVM assembly of the function."""
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
        """Write the code of one task."""
        raise NotImplementedError

    # Blocks of channels ----------------------------------------------------------------------------------------------

    def enter_block(self, block: Value) -> None:
        """Set `self.channel`, the first channel of the block, and `self.mask`, true for lanes that are channels."""
        b, lanes = self.b, self.shape.num_lanes
        self.channel = b.mul(block, integer(lanes))
        lane = ir.Constant(ir.VectorType(INDEX, lanes), list(range(lanes)))
        kind, places = lane.type, ir.VectorType(ir.IntType(32), lanes)
        left = b.sub(self.arg["num_channels"], self.channel)
        left = b.insert_element(ir.Constant(kind, ir.Undefined), left, ir.Constant(ir.IntType(32), 0))
        left = b.shuffle_vector(left, ir.Constant(kind, ir.Undefined), ir.Constant(places, None))
        self.mask = b.icmp_unsigned("<", lane, left)

    def pack_row(self, base: Value, pixel_step: Value, target: Value, width: int) -> None:
        """Copy a row of this block's channels to contiguous memory: reading across whole pixels would thrash the cache.

        Place v holds the pair of columns v - 1 and v, so that there is a pair for every place of a tap.
        """
        b = self.b
        zero_words = ir.Constant(self.words, None)

        def emit_pixel(column: Value, carried: list[Value]) -> list[Value]:
            address = b.add(base, b.mul(b.mul(column, pixel_step), integer(self.element_bytes)))
            value = self._load_pixel(address)
            if not self.shape.has_pairs:
                b.store(value, b.gep(target, [column]), align=4)
                return carried
            self.store_pair(carried[0], value, b.gep(target, [column]))
            return [value]

        last = self.loop_carrying(integer(0), integer(width), [zero_words] if self.shape.has_pairs else [], emit_pixel)
        if self.shape.has_pairs:
            self.store_pair(last[0], zero_words, b.gep(target, [integer(width)]))

    @property
    def element_bytes(self) -> int:
        """Bytes per number of the input or output."""
        return 2 if self.shape.is_bfloat16 else 4

    def load_masked(self, address: Value, scalar: Any) -> Value:
        """Load a vector of this block's channels; lanes without a channel are zero."""
        b, lanes = self.b, self.shape.num_lanes
        vector = ir.VectorType(scalar, lanes)
        is_float = scalar == FLOAT
        kind = ir.FunctionType(vector, [vector.as_pointer(), ir.IntType(32), self.mask.type, vector])
        load = self.intrinsic(f"llvm.masked.load.v{lanes}{'f32' if is_float else 'i16'}.p0", kind)
        align = ir.Constant(ir.IntType(32), 4 if is_float else 2)
        return b.call(load, [self.pointer(address, vector), align, self.mask, ir.Constant(vector, None)])

    def _load_pixel(self, address: Value) -> Value:
        """Load this block's channels of one pixel: float32, or 32-bit words with bfloat16 bits for pairs."""
        if not self.shape.is_bfloat16:
            return self.load_masked(address, FLOAT)
        words = self.b.zext(self.load_masked(address, ir.IntType(16)), self.words)
        return words if self.shape.has_pairs else self.b.bitcast(self.b.shl(words, self.word(16)), self.vector)

    def store_masked(self, value: Value, address: Value) -> None:
        """Store a vector of sums to this block's channels of one pixel of the output."""
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
        """Store the words of two bfloat16 numbers as a pair."""
        pair = self.b.or_(first, self.b.shl(second, self.word(16)))
        self.b.store(self.b.bitcast(pair, self.vector), target, align=4)

    def rounded(self, value: Value) -> Value:
        """Round float32 to the words of the nearest bfloat16, ties to even; NaN stays NaN."""
        b = self.b
        bits = b.bitcast(value, self.words)
        odd = b.and_(b.lshr(bits, self.word(16)), self.word(1))
        nearest = b.lshr(b.add(bits, b.add(odd, self.word(0x7FFF))), self.word(16))
        return b.select(b.fcmp_unordered("uno", value, value), self.word(_QUIET_NAN), nearest)

    # Products --------------------------------------------------------------------------------------------------------

    def split_sums(self, num_sums: int) -> list[range]:
        """Split the sums into equal parts, each of which fits the registers together with the smallest tile."""
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
        """Add the products of one row to the sums of the columns `which`, tile by tile; a tile of held columns stays in
        registers. The rows are packed; `held_places` are the places of the held columns, or pairs of them, in theirs.
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
        """A list of zero vectors."""
        return [ir.Constant(self.vector, None)] * count

    def word(self, value: int) -> Value:
        """A vector with a 32-bit integer in every lane."""
        return ir.Constant(self.words, [value] * self.shape.num_lanes)

    def pointer(self, address: Value, kind: Any) -> Value:
        """Convert an address to a pointer to values of a type."""
        return self.b.inttoptr(address, kind.as_pointer())

    def intrinsic(self, name: str, kind: Any) -> Value:
        """An intrinsic function of LLVM, declared once per module."""
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
        """`for index in start .. stop: values = emit(index, values)`; return the last values."""

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
        """The beginning of one of several equal parts: `total * part // num_parts`."""
        return self.b.udiv(self.b.mul(total, part), num_parts)


def integer(value: int) -> Value:
    """A 64-bit constant."""
    return ir.Constant(INDEX, value)
