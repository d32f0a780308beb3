"""Code generation for the depthwise weight gradient.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

A task is one block of channels and some rows of taps. Columns of the output's gradient are held, and taps are summed.
"""

from __future__ import annotations

from audio_dcls.dcls.depthwise.codegen import Emitter, RowShape, Value, integer

_FIELDS = (
    "x", "grad", "result", "num_batch", "num_channels", "num_group", "num_slices",
    "x_rows", "grad_rows", "num_tap_rows", "pad_rows",
    "x_batch_step", "x_row_step", "x_pixel_step", "grad_batch_step", "grad_row_step", "grad_pixel_step",
)  # fmt: skip
"""Arguments after the header: addresses, counts and steps in elements. A worker packs `num_group` clips at once."""


class GradientEmitter(Emitter):
    """Writes the code that adds the gradient to `result`, float32 with axes (channel blocks, I, J, lanes).

    A worker's scratch holds `num_group` clips of `x_rows * packed_x_width + grad_rows * packed_grad_width` vectors.
    """

    def __init__(self, shape: RowShape) -> None:
        super().__init__(shape, _FIELDS)

    @staticmethod
    def packed_grad_width(shape: RowShape) -> int:
        """Vectors per packed row of the output's gradient."""
        return shape.out_width + shape.unit - 1

    def emit_task(self, task: Value) -> None:
        """Sum over all clips of one block of channels, group by group."""
        b, arg = self.b, self.arg
        block, part = b.udiv(task, arg["num_slices"]), b.urem(task, arg["num_slices"])
        self.enter_block(block)
        first_tap = self.share(arg["num_tap_rows"], part, arg["num_slices"])
        last_tap = self.share(arg["num_tap_rows"], b.add(part, integer(1)), arg["num_slices"])
        self.x_plane = b.mul(arg["x_rows"], integer(self.shape.packed_x_width))
        self.grad_plane = b.mul(arg["grad_rows"], integer(self.packed_grad_width(self.shape)))
        self.grad_pack = b.gep(self.scratch, [b.mul(arg["num_group"], self.x_plane)])

        def emit_group(first: Value) -> Value:
            count = self.min(arg["num_group"], b.sub(arg["num_batch"], first))
            self._pack("x", self.scratch, self.x_plane, self.shape.x_width, self.shape.packed_x_width, first, count)
            packed_width = self.packed_grad_width(self.shape)
            self._pack("grad", self.grad_pack, self.grad_plane, self.shape.out_width, packed_width, first, count)
            self.loop(first_tap, last_tap, lambda tap: self._emit_tap_row(block, tap, count))
            return b.add(first, arg["num_group"])

        self.loop_while(integer(0), arg["num_batch"], emit_group)

    def _pack(
        self, source: str, target: Value, plane: Value, width: int, packed_width: int, first: Value, count: Value
    ) -> None:
        """Pack one block of channels of `count` clips."""
        b, arg = self.b, self.arg

        def emit_row(clip: Value, row: Value) -> None:
            offset = b.mul(b.add(first, clip), arg[f"{source}_batch_step"])
            offset = b.add(b.add(offset, b.mul(row, arg[f"{source}_row_step"])), self.channel)
            address = b.add(arg[source], b.mul(offset, integer(self.element_bytes)))
            place = b.add(b.mul(clip, plane), b.mul(row, integer(packed_width)))
            self.pack_row(address, arg[f"{source}_pixel_step"], b.gep(target, [place]), width)

        num_rows = arg[f"{source}_rows"]
        self.loop(integer(0), count, lambda clip: self.loop(integer(0), num_rows, lambda row: emit_row(clip, row)))

    def _emit_tap_row(self, block: Value, tap: Value, count: Value) -> None:
        """Compute every tap of one kernel row, in parts that fit the registers."""
        b, arg, shape = self.b, self.arg, self.shape
        shift = b.sub(tap, arg["pad_rows"])
        first = self.max(integer(0), b.neg(shift))
        last = self.min(arg["grad_rows"], b.sub(arg["x_rows"], shift))
        row_of_taps = b.mul(b.add(b.mul(block, arg["num_tap_rows"]), tap), integer(shape.num_taps))
        result = self.pointer(arg["result"], self.vector)
        held_places = range(shape.unit - 1, shape.out_width + shape.unit - 1, shape.unit)

        def emit_part(taps: range) -> None:
            def emit_row(clip: Value, row: Value, sums: list[Value]) -> list[Value]:
                x_row = b.add(b.mul(clip, self.x_plane), b.mul(b.add(row, shift), integer(shape.packed_x_width)))
                grad_row = b.mul(row, integer(self.packed_grad_width(shape)))
                grad_row = b.gep(self.grad_pack, [b.add(b.mul(clip, self.grad_plane), grad_row)])
                return self.products(b.gep(self.scratch, [x_row]), grad_row, held_places, taps, sums)

            def emit_clip(clip: Value, sums: list[Value]) -> list[Value]:
                return self.loop_carrying(first, last, sums, lambda row, inner: emit_row(clip, row, inner))

            # Each group of clips is summed from zero: short sums lose fewer bits.
            sums = self.loop_carrying(integer(0), count, self.zeros(len(taps)), emit_clip)
            for tap_column, value in zip(taps, sums, strict=True):
                slot = b.gep(result, [b.add(row_of_taps, integer(tap_column))])
                b.store(b.fadd(b.load(slot, align=4), value), slot, align=4)

        for taps in self.split_sums(shape.num_taps):
            emit_part(taps)
