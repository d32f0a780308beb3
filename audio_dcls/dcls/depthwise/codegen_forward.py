"""Code generation for the depthwise convolution itself.

Axes: N batch, C channels, H W rows and columns of the input, A B of the output, I J taps of the kernel.

A task is one block of channels and some rows of the output, numbered through all clips. Taps are held, and columns of
the output are summed.
"""

from __future__ import annotations

from llvmlite import ir

from audio_dcls.dcls.depthwise.codegen import FLOAT, Emitter, RowShape, Value, integer

_FIELDS = (
    "x", "weight", "bias", "y", "num_channels", "num_slices", "num_rows", "part_rows",
    "x_rows", "out_rows", "num_tap_rows", "pad_rows",
    "x_batch_step", "x_row_step", "x_pixel_step", "y_batch_step", "y_row_step", "y_pixel_step",
    "weight_channel_step", "weight_row_step", "weight_tap_step",
)  # fmt: skip
"""Arguments after the header: addresses, then counts and steps in elements. `num_rows` is the number of clips times
`out_rows`; a worker packs the input of at most `part_rows` rows of the output at once."""


class ForwardEmitter(Emitter):
    """Writes the code that computes the output; weight and bias are float32.

    A worker's scratch holds `num_tap_rows * num_held(shape)` vectors of weights, and
    `(part_rows + num_tap_rows - 1) * packed_x_width` of input.
    """

    def __init__(self, shape: RowShape) -> None:
        super().__init__(shape, _FIELDS)

    @staticmethod
    def num_held(shape: RowShape) -> int:
        """Vectors per row of weights."""
        return -(-shape.num_taps // shape.unit)

    def emit_task(self, task: Value) -> None:
        """Compute some rows of one block of channels, in parts that fit the scratch memory."""
        b, arg = self.b, self.arg
        block, slice_index = b.udiv(task, arg["num_slices"]), b.urem(task, arg["num_slices"])
        self.enter_block(block)
        self._pack_weights()
        self.bias = self.load_masked(b.add(arg["bias"], b.mul(self.channel, integer(4))), FLOAT)
        num_weights = b.mul(arg["num_tap_rows"], integer(self.num_held(self.shape)))
        self.x_pack = b.gep(self.scratch, [num_weights])
        start = self.share(arg["num_rows"], slice_index, arg["num_slices"])
        stop = self.share(arg["num_rows"], b.add(slice_index, integer(1)), arg["num_slices"])

        def emit_part(flat_row: Value) -> Value:
            clip, first = b.udiv(flat_row, arg["out_rows"]), b.urem(flat_row, arg["out_rows"])
            count = self.min(b.sub(arg["out_rows"], first), b.sub(stop, flat_row))
            count = self.min(count, arg["part_rows"])
            self._emit_rows(clip, first, b.add(first, count))
            return b.add(flat_row, count)

        self.loop_while(start, stop, emit_part)

    def _pack_weights(self) -> None:
        """Pack the weights of this block, transposed so that the channels of a tap are contiguous."""
        b, arg, shape = self.b, self.arg, self.shape
        last = b.sub(arg["num_channels"], integer(1))
        lanes = [
            b.mul(self.min(b.add(self.channel, integer(lane)), last), arg["weight_channel_step"])
            for lane in range(shape.num_lanes)
        ]
        num_full = shape.num_taps // shape.unit

        def load(row: Value, tap: Value) -> Value:
            offset = b.add(b.mul(row, arg["weight_row_step"]), b.mul(tap, arg["weight_tap_step"]))
            value = ir.Constant(self.vector, ir.Undefined)
            for lane, channel in enumerate(lanes):
                address = b.add(arg["weight"], b.mul(b.add(offset, channel), integer(4)))
                number = b.load(self.pointer(address, FLOAT), align=4)
                value = b.insert_element(value, number, ir.Constant(ir.IntType(32), lane))
            return value

        def emit_row(row: Value) -> None:
            target = b.gep(self.scratch, [b.mul(row, integer(self.num_held(shape)))])

            def emit_held(held: Value) -> None:
                place = b.gep(target, [held])
                if shape.has_pairs:
                    tap = b.shl(held, integer(1))
                    second = self.rounded(load(row, b.add(tap, integer(1))))
                    self.store_pair(self.rounded(load(row, tap)), second, place)
                else:
                    b.store(load(row, held), place, align=4)

            self.loop(integer(0), integer(num_full), emit_held)
            if num_full < self.num_held(shape):
                single = self.rounded(load(row, integer(shape.num_taps - 1)))
                self.store_pair(single, ir.Constant(self.words, None), b.gep(target, [integer(num_full)]))

        self.loop(integer(0), arg["num_tap_rows"], emit_row)

    def _emit_rows(self, clip: Value, first: Value, last: Value) -> None:
        """Compute the rows `first .. last` of one clip's output."""
        b, arg, shape = self.b, self.arg, self.shape
        first_x = self.max(integer(0), b.sub(first, arg["pad_rows"]))
        last_x = b.sub(b.add(b.sub(last, integer(1)), arg["num_tap_rows"]), arg["pad_rows"])
        last_x = self.min(arg["x_rows"], last_x)

        def emit_pack(row: Value) -> None:
            offset = b.add(b.mul(clip, arg["x_batch_step"]), b.mul(row, arg["x_row_step"]))
            address = b.add(arg["x"], b.mul(b.add(offset, self.channel), integer(self.element_bytes)))
            place = b.mul(b.sub(row, first_x), integer(shape.packed_x_width))
            self.pack_row(address, arg["x_pixel_step"], b.gep(self.x_pack, [place]), shape.x_width)

        self.loop(first_x, last_x, emit_pack)
        parts = self.split_sums(shape.out_width)

        def emit_row(row: Value) -> None:
            offset = b.add(b.mul(clip, arg["y_batch_step"]), b.mul(row, arg["y_row_step"]))
            target = b.add(arg["y"], b.mul(b.add(offset, self.channel), integer(self.element_bytes)))
            above = b.sub(arg["pad_rows"], row)
            first_tap = self.max(integer(0), above)
            last_tap = self.min(arg["num_tap_rows"], b.add(arg["x_rows"], above))
            for columns in parts:
                sums = self._emit_sums(columns, first_tap, last_tap, b.add(above, first_x))
                for column, value in zip(columns, sums, strict=True):
                    place = b.mul(arg["y_pixel_step"], integer(self.element_bytes * column))
                    self.store_masked(value, b.add(target, place))

        self.loop(first, last, emit_row)

    def _emit_sums(self, columns: range, first_tap: Value, last_tap: Value, shift: Value) -> list[Value]:
        """The sums of some columns of one row; a row of taps meets the packed row `tap - shift` of the input."""
        b, shape = self.b, self.shape
        num_held = self.num_held(shape)

        def emit_tap(tap: Value, sums: list[Value]) -> list[Value]:
            x_row = b.gep(self.x_pack, [b.mul(b.sub(tap, shift), integer(shape.packed_x_width))])
            weights = b.gep(self.scratch, [b.mul(tap, integer(num_held))])
            return self.products(x_row, weights, range(num_held), columns, sums)

        return self.loop_carrying(first_tap, last_tap, [self.bias] * len(columns), emit_tap)
