"""Every loop over data points: numba kernels on bytes, numbers and offsets.

A kernel never trusts a length: each checks what it is about to read or write against the end that it was given, and stops with a
status instead of reading on. Numba's own bounds checks are off (they cost a third of the speed), so this module is fuzzed in full
by its tests. Kernels release the GIL and know no meaning: what a number stands for is in the tables of the layers around them.

Integers are int64 throughout: mixing int64 and uint64 would make numba go through floating point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = [
    "BAD_LENGTH",
    "BAD_PROTOBUF",
    "BAD_TIME",
    "CANONICAL",
    "COUNTED_NAME",
    "DONE",
    "FIXED_ID",
    "NEED_SPACE",
    "NMEA_ID",
    "NUMBER_ID",
    "OTHER_ELEMENT",
    "READABLE",
    "UNDECODABLE",
    "copy_rows",
    "count_store_points",
    "count_units",
    "find_undecodable_text",
    "gather_heads",
    "gather_tails",
    "group_rows",
    "intern_payload_ids",
    "join_payloads",
    "locate_heads",
    "read_response_frames",
    "read_store_points",
    "read_unit_run",
    "write_response_frames",
    "write_store_points",
    "write_unit_run",
]

# How a kernel ended.
DONE = 0  # everything that was whole has been read
NEED_SPACE = 1  # the dictionary is full: grow it and go on at the returned position
BAD_LENGTH = 2  # a length runs past the end, or is over MAX_FRAME
BAD_PROTOBUF = 3  # a tag, varint or wire type that protobuf does not have
BAD_TIME = 4  # nanoseconds outside 0..999 999 999, or an instant outside int64
OTHER_ELEMENT = 5  # a stream element that is not a unit: the caller reads it

# Where the data id of a payload stands (protocol 6.1 to 6.9).
FIXED_ID = 0  # nowhere: the type has one id, or none
NUMBER_ID = 1  # a little-endian number at offset 0
COUNTED_NAME = 2  # one length byte, then that many bytes of UTF-8
NMEA_ID = 3  # characters 1 to 5

# What `locate_heads` says of a payload.
CANONICAL = 0  # its columns give the same bytes back
READABLE = 1  # its columns are right, but its bytes must be kept to be given back
UNDECODABLE = 2  # it does not fit the layout

# protobuf cannot carry a message of 2 GiB or more, so a longer frame is a lie and not data.
MAX_FRAME = 2**31 - 1
NS = 1_000_000_000
# Series that one call tells apart at a glance; a power of two, half of it used at most.
MEMO_SLOTS = 1024
# The whole seconds that, with any nanoseconds behind them, are an int64 of nanoseconds.
MIN_SECONDS, MAX_SECONDS = -9_223_372_036, 9_223_372_035


# --- eight bytes at once ----------------------------------------------------------------------------------------------
# Byte by byte, telling known ids apart would cost three times all the rest. The caller of a word has checked that all eight bytes
# are inside the array; arrays are contiguous bytes.


def _word_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), ir.IntType(64).as_pointer())


@intrinsic
def _word(typing_context: Any, array: Any, index: Any) -> Any:
    """Read bytes `index` to ``index + 8`` as a little-endian int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = builder.load(_word_pointer(context, builder, signature.args[0], *arguments))
        word.align = 1
        return word

    return types.int64(array, types.int64), generate


@intrinsic
def _byte(typing_context: Any, array: Any, index: Any) -> Any:
    """Read one byte as int64, without numba's care for negative positions."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.zext(builder.load(builder.gep(data, [arguments[1]])), ir.IntType(64))

    return types.int64(array, types.int64), generate


@intrinsic
def _put_word(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Write an int64 to bytes `index` to ``index + 8``, little-endian."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array, index, value = arguments
        builder.store(value, _word_pointer(context, builder, signature.args[0], array, index)).align = 1
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


BLOCK = 32


@intrinsic
def _copied_block(typing_context: Any, source: Any, start: Any, size: Any, out: Any, at: Any) -> Any:
    """Copy 32 bytes if `size` is no more and both arrays have as many from there on; says whether it did.

    What stands in `out` behind the `size` bytes is spoilt. A loop whose length nobody can foretell takes three times as long.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, start, size, out, at = arguments

        def room(array_type: Any, array: Any, index: Any) -> Any:
            return builder.sub(context.make_array(array_type)(context, builder, array).nitems, index)

        block = ir.Constant(ir.IntType(64), BLOCK)
        fits = builder.icmp_signed("<=", size, block)
        fits = builder.and_(fits, builder.icmp_signed(">=", room(signature.args[0], source, start), block))
        fits = builder.and_(fits, builder.icmp_signed(">=", room(signature.args[3], out, at), block))
        with builder.if_then(fits):
            vector = ir.VectorType(ir.IntType(64), BLOCK // 8).as_pointer()
            read = builder.load(builder.bitcast(_word_pointer(context, builder, signature.args[0], source, start), vector))
            read.align = 1
            to = builder.bitcast(_word_pointer(context, builder, signature.args[3], out, at), vector)
            builder.store(read, to).align = 1
        return fits

    return types.boolean(source, types.int64, types.int64, out, types.int64), generate


# --- protobuf and varint primitives -----------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _varint(buffer, at, end):
    """Read a protobuf varint: (value as int64, position behind it), or position -1."""
    value = np.int64(0)
    shift = 0
    while at < end and shift < 64:
        byte = _byte(buffer, at)
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    return value, np.int64(-1)


@njit(cache=True, nogil=True, inline="always")
def _short_varint(buffer, at, end):
    """Read a protobuf varint of at most eight bytes, where eight are there: (value, position behind it, which is behind `end`
    if it is longer)."""
    word = _word(buffer, at)
    last = ~word & -0x7F7F7F7F7F7F7F80  # the top bit of each byte that is the last one of a number
    if last == 0:
        return word, end + 1
    own = last ^ (last - 1)  # all bits up to the first of them
    word &= own & 0x7F7F7F7F7F7F7F7F
    word = (word & 0x007F007F007F007F) | ((word & 0x7F007F007F007F00) >> 1)
    word = (word & 0x00003FFF00003FFF) | ((word & 0x3FFF00003FFF0000) >> 2)
    word = (word & 0x000000000FFFFFFF) | ((word & 0x0FFFFFFF00000000) >> 4)
    return word, at + (((own & 0x0101010101010101) * 0x0101010101010101) >> 56)  # the sum of ones, one a byte


@njit(cache=True, nogil=True)
def _put_varint(out, at, value):
    """Write a protobuf varint; negative values take ten bytes."""
    for _ in range(10):
        low = value & 0x7F
        value = (value >> 7) & 0x01FFFFFFFFFFFFFF
        if value == 0:
            out[at] = low
            return at + 1
        out[at] = low | 0x80
        at += 1
    return at


@njit(cache=True, nogil=True)
def _varint_size(value):
    """Bytes that `_put_varint` writes."""
    size = 1
    value = (value >> 7) & 0x01FFFFFFFFFFFFFF
    while value != 0:
        value >>= 7
        size += 1
    return size


@njit(cache=True, nogil=True)
def _skip(buffer, at, end, wire_type):
    """Step over a field that nobody asked for; -1 when it is malformed or cut."""
    if wire_type == 0:
        _, at = _varint(buffer, at, end)
        return at
    if wire_type == 2:
        length, at = _varint(buffer, at, end)
        return at + length if at >= 0 and 0 <= length <= end - at else np.int64(-1)
    size = 8 if wire_type == 1 else 4 if wire_type == 5 else -1
    return at + size if 0 < size <= end - at else np.int64(-1)


@njit(cache=True, nogil=True)
def _field(buffer, at, end):
    """Read a tag and, for a length-delimited field, its length: (number, wire type, start, end); number -1 when malformed.

    For any other wire type, start equals end: the position right behind the tag.
    """
    tag = _byte(buffer, at)
    if tag < 0x80:
        at += 1
    else:
        tag, at = _varint(buffer, at, end)
    if at < 0 or tag < 8:
        return np.int64(-1), np.int64(0), at, at
    wire_type = tag & 7
    if wire_type != 2:
        return tag >> 3, wire_type, at, at
    if at < end and _byte(buffer, at) < 0x80:
        length = _byte(buffer, at)
        at += 1
    else:
        length, at = _varint(buffer, at, end)
    if at < 0 or length < 0 or length > end - at:
        return np.int64(-1), 2, at, at
    return tag >> 3, wire_type, at, at + length


@njit(cache=True, nogil=True)
def _copy(source, start, stop, out, at):
    """Copy bytes; returns the position behind them."""
    size = stop - start
    if size < 8:
        for i in range(size):
            out[at + i] = source[start + i]
    else:
        for i in range(0, size - 8, 8):
            _put_word(out, at + i, _word(source, start + i))
        _put_word(out, at + size - 8, _word(source, stop - 8))  # may overlap the last one
    return at + size


# --- a dictionary of keys ---------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _tail_word(buffer, start, stop):
    """The last 1 to 7 bytes before `stop` as a number."""
    word = np.int64(0)
    for i in range(start, stop):
        word = (word << 8) | _byte(buffer, i)
    return word


@njit(cache=True, nogil=True)
def _mix(mixed, buffer, start, stop):
    """Stir bytes into a hash."""
    if stop - start < 8:
        mixed = (mixed ^ _tail_word(buffer, start, stop)) * 0x2127599BF4325C37
        return mixed ^ (mixed >> 29)
    for i in range(start, stop - 8, 8):
        mixed = (mixed ^ _word(buffer, i)) * 0x2127599BF4325C37
        mixed ^= mixed >> 29
    mixed = (mixed ^ _word(buffer, stop - 8)) * 0x2127599BF4325C37
    return mixed ^ (mixed >> 29)


@njit(cache=True, nogil=True)
def _same(buffer, start, arena, from_, to):
    """Compare ``buffer[start:]`` with ``arena[from_:to]``; the caller has checked that as many bytes are there."""
    size = to - from_
    if size < 8:
        different = np.int64(0)
        for i in range(size):
            different |= _byte(buffer, start + i) ^ _byte(arena, from_ + i)
        return different == 0
    different = _word(buffer, start + size - 8) ^ _word(arena, to - 8)
    for i in range(0, size - 8, 8):
        different |= _word(buffer, start + i) ^ _word(arena, from_ + i)
    return different == 0


# Inlined, and handed its arrays one by one: a tuple of arrays costs ten reference counts a call, more than the look-up.
@njit(cache=True, nogil=True, inline="always")
def _intern(slots, tags, hashes, bounds, arena, counters, buffer, tag, a, a_end, b, b_end, c, c_end):
    """Code of the key (tag, three ranges of `buffer`), new or known; -1 when the dictionary has no room."""
    mixed = np.int64(tag) * 0x27D4EB2F165667C5 + (a_end - a) * 31 + (b_end - b)
    mixed = _mix(mixed, buffer, a, a_end)
    mixed = _mix(mixed, buffer, b, b_end)
    if c_end - c >= 16:  # a uuid: its first and last bytes tell it apart
        mixed = (mixed ^ _word(buffer, c)) * 0x2127599BF4325C37
        mixed ^= mixed >> 29
        mixed = (mixed ^ _word(buffer, c_end - 8)) * 0x2127599BF4325C37
    else:
        mixed = _mix(mixed, buffer, c, c_end)
    mixed ^= mixed >> 32
    mask = len(slots) - 1
    slot = mixed & mask
    size_a, size_b, size_c = a_end - a, b_end - b, c_end - c
    while slots[slot] != 0:
        code = slots[slot] - 1
        if hashes[code] == mixed and tags[code] == tag:
            at, at_b, at_c, at_end = bounds[code, 0], bounds[code, 1], bounds[code, 2], bounds[code, 3]
            if (
                at_b - at == size_a
                and at_c - at_b == size_b
                and at_end - at_c == size_c
                and _same(buffer, a, arena, at, at_b)
                and _same(buffer, b, arena, at_b, at_c)
                and _same(buffer, c, arena, at_c, at_end)
            ):
                return np.int64(code)
        slot = (slot + 1) & mask
    code, used = counters[0], counters[1]
    if code >= len(tags) or used + size_a + size_b + size_c > len(arena):
        return np.int64(-1)
    bounds[code, 0] = used
    bounds[code, 1] = _copy(buffer, a, a_end, arena, used)
    bounds[code, 2] = _copy(buffer, b, b_end, arena, bounds[code, 1])
    bounds[code, 3] = _copy(buffer, c, c_end, arena, bounds[code, 2])
    tags[code], hashes[code] = tag, mixed
    slots[slot] = code + 1
    counters[0], counters[1] = code + 1, bounds[code, 3]
    return np.int64(code)


# --- answers of the data call (protocol 3.2) --------------------------------------------------------------------------


@njit(cache=True, nogil=True, inline="always")
def _timestamp(buffer, at, end, seconds, nanos):
    """Merge a Timestamp message into (seconds, nanos); position -1 when it is malformed."""
    while at < end:
        number, wire_type, start, stop = _field(buffer, at, end)
        if number < 0:
            return seconds, nanos, np.int64(-1)
        if wire_type == 0 and number <= 2:
            value, at = _varint(buffer, start, end)
            if number == 1:
                seconds = value
            else:
                nanos = value
        else:
            at = stop if wire_type == 2 else _skip(buffer, start, end, wire_type)
        if at < 0:
            return seconds, nanos, at
    return seconds, nanos, at


@njit(cache=True, nogil=True, inline="always")
def _short_field(buffer, at, stop, tag):
    """Bounds of the field at `at` if it has this tag and fewer than 128 bytes, else an end behind `stop`."""
    if stop - at >= 2 and _byte(buffer, at) == tag and _byte(buffer, at + 1) < 0x80:
        return at + 2, at + 2 + _byte(buffer, at + 1)
    return at, stop + 1


@njit(cache=True, nogil=True, inline="always")
def _usual_timestamp(buffer, at, stop, end):
    """Read a Timestamp message that is seconds and nanoseconds in this order: (seconds, nanos, whether it is)."""
    if at >= stop or stop + 8 > end or _byte(buffer, at) != 0x08:
        return np.int64(0), np.int64(0), False
    seconds, at = _short_varint(buffer, at + 1, end)
    if at >= stop or _byte(buffer, at) != 0x10:
        return np.int64(0), np.int64(0), False
    nanos, at = _short_varint(buffer, at + 1, end)
    return seconds, nanos, at == stop


@njit(cache=True, nogil=True)
def read_response_frames(buffer, at, end, row, time_ns, codes, offsets, data, state, untimed):
    """Read whole frames of a data answer into columns, from `row` on.

    `time_ns` and `codes` need room for ``(end - at) // 8`` rows more, `offsets` for one more than that, `data` for ``end - at``
    bytes more. Returns (rows in all, position of the first byte not read, status). ``untimed[0]`` counts rows without a time.
    """
    slots, tags, hashes, bounds, arena, counters = state
    filled = offsets[row]
    memo, remembered = np.zeros(32 * MEMO_SLOTS, np.uint8), 0
    last_uuid, last_uuid_end, uuid_changes = np.int64(0), np.int64(0), np.int64(0)
    while end - at >= 8:
        length = _word(buffer, at)
        if length < 0 or length > MAX_FRAME:
            return row, at, BAD_LENGTH
        if length > end - at - 8:
            return row, at, DONE
        here, stop = at + 8, at + 8 + length
        # Nearly every frame has all five fields, short and in order: to read it so takes a third less time.
        time, time_end = _short_field(buffer, here, stop, 0x0A)
        kind, kind_end = _short_field(buffer, time_end, stop, 0x12)
        name, name_end = _short_field(buffer, kind_end, stop, 0x1A)
        payload, payload_end = _short_field(buffer, name_end, stop, 0x22)
        uuid, uuid_end = _short_field(buffer, payload_end, stop, 0x2A)
        seconds, nanos, timed = _usual_timestamp(buffer, time, time_end, end)
        if timed and uuid_end == stop:
            here = stop
        else:
            seconds = nanos = np.int64(0)
            timed = False
            kind = kind_end = name = name_end = payload = payload_end = uuid = uuid_end = np.int64(0)
        while here < stop:
            number, wire_type, start, past = _field(buffer, here, stop)
            if number < 0:
                return row, at, BAD_PROTOBUF
            if wire_type != 2:
                here = _skip(buffer, start, stop, wire_type)
                if here < 0:
                    return row, at, BAD_PROTOBUF
                continue
            here = past
            if number == 1:
                timed = True
                seconds, nanos, start = _timestamp(buffer, start, past, seconds, nanos)
                if start < 0:
                    return row, at, BAD_PROTOBUF
            elif number == 2:
                kind, kind_end = start, past
            elif number == 3:
                name, name_end = start, past
            elif number == 4:
                payload, payload_end = start, past
            elif number == 5:
                uuid, uuid_end = start, past
        if not (0 <= nanos < NS and MIN_SECONDS <= seconds <= MAX_SECONDS):
            return row, at, BAD_TIME
        if uuid_end - uuid != last_uuid_end - last_uuid or not _same(buffer, uuid, buffer, last_uuid, last_uuid_end):
            last_uuid, last_uuid_end, uuid_changes = uuid, uuid_end, uuid_changes + 1
        # Fields 2 and 3 mostly stand side by side in at most 24 bytes, from the length of the one to the end of the other. Three
        # words of them, their size and the number of the uuid are the whole key, so a match here needs no look at the dictionary.
        code, slot, size = np.int64(-1), np.int64(-1), name_end - kind + 1
        if 8 <= size <= 24 and name == kind_end + 2 and _byte(buffer, kind - 1) == kind_end - kind and uuid_changes < 1 << 22:
            first, middle, last = _word(buffer, kind - 1), _word(buffer, kind - 1 + min(8, size - 8)), _word(buffer, name_end - 8)
            mark = uuid_changes << 8 | size
            mixed = (first ^ (middle << 21) ^ (last * 0x2127599BF4325C37)) * 0x2127599BF4325C37
            slot = ((mixed >> 33) & (MEMO_SLOTS - 1)) << 5
            while True:
                found = _word(memo, slot + 24)
                different = (_word(memo, slot) ^ first) | (_word(memo, slot + 8) ^ middle) | (_word(memo, slot + 16) ^ last)
                if (different | ((found >> 32) ^ mark)) == 0:
                    code = found & 0xFFFFFFFF
                    break
                if found == 0:
                    break
                slot = (slot + 32) & (32 * MEMO_SLOTS - 1)
        if code < 0:
            code = _intern(
                slots, tags, hashes, bounds, arena, counters, buffer, 0, kind, kind_end, name, name_end, uuid, uuid_end
            )
            if code < 0:
                return row, at, NEED_SPACE
            if slot >= 0 and remembered < MEMO_SLOTS // 2:
                remembered += 1
                _put_word(memo, slot, first)
                _put_word(memo, slot + 8, middle)
                _put_word(memo, slot + 16, last)
                _put_word(memo, slot + 24, mark << 32 | code)
        if not timed:
            untimed[0] += 1
        time_ns[row] = seconds * NS + nanos
        codes[row] = code
        if not _copied_block(buffer, payload, payload_end - payload, data, filled):
            _copy(buffer, payload, payload_end, data, filled)
        filled += payload_end - payload
        row += 1
        offsets[row] = filled
        at = stop
    return row, at, DONE


@njit(cache=True, nogil=True)
def write_response_frames(time_ns, codes, offsets, data, heads, head_bounds, tails, tail_bounds, out):
    """Write the frames of a data answer; returns the bytes written.

    ``heads`` holds fields 2 and 3 of every series ready made, ``tails`` field 5. `out` needs, for each row, its payload, head and
    tail and 39 bytes more.
    """
    at = np.int64(0)
    for row in range(len(time_ns)):
        seconds = time_ns[row] // NS
        nanos = time_ns[row] - seconds * NS
        code = codes[row]
        frame = at
        at += 10
        if seconds != 0:
            out[at] = 0x08
            at = _put_varint(out, at + 1, seconds)
        if nanos != 0:
            out[at] = 0x10
            at = _put_varint(out, at + 1, nanos)
        out[frame + 8] = 0x0A
        out[frame + 9] = at - frame - 10  # 17 at most: one byte
        start, stop = np.int64(head_bounds[code]), np.int64(head_bounds[code + 1])
        if not _copied_block(heads, start, stop - start, out, at):
            _copy(heads, start, stop, out, at)
        at += stop - start
        start, stop = np.int64(offsets[row]), np.int64(offsets[row + 1])
        if stop > start:
            out[at] = 0x22
            at = _put_varint(out, at + 1, stop - start)
            if not _copied_block(data, start, stop - start, out, at):
                _copy(data, start, stop, out, at)
            at += stop - start
        at = _copy(tails, tail_bounds[code], tail_bounds[code + 1], out, at)
        _put_word(out, frame, at - frame - 8)
    return at


# --- store bodies (protocol 4.1) --------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def count_store_points(buffer, header):
    """Count the points of a StoreProto and read the rest of it: (points, status).

    `header` receives start and end of the uuid text, serial number, meas_end, section_end and section_total_count (-1 if absent).
    """
    header[:] = 0
    header[5] = -1
    at, end = np.int64(0), np.int64(len(buffer))
    points = 0
    while at < end:
        number, wire_type, start, stop = _field(buffer, at, end)
        if number < 0:
            return points, BAD_PROTOBUF
        if wire_type == 2:
            at = stop
            if number == 6:
                points += 1
            elif number == 1:
                header[0], header[1] = start, stop
            elif number == 5:
                header[5] = 0
                while start < stop:
                    inner, inner_type, value_at, value_end = _field(buffer, start, stop)
                    if inner < 0:
                        return points, BAD_PROTOBUF
                    if inner == 1 and inner_type == 0:
                        header[5], start = _varint(buffer, value_at, stop)
                        header[5] &= 0xFFFFFFFF
                    else:
                        start = value_end if inner_type == 2 else _skip(buffer, value_at, stop, inner_type)
                    if start < 0:
                        return points, BAD_PROTOBUF
        elif wire_type == 0:
            value, at = _varint(buffer, start, end)
            if number == 2:
                header[2] = value & 0xFFFFFFFF
            elif 3 <= number <= 4:
                header[number] = value
        else:
            at = _skip(buffer, start, end, wire_type)
        if at < 0:
            return points, BAD_PROTOBUF
    return points, DONE


@njit(cache=True, nogil=True)
def read_store_points(buffer, elapsed_ns, channels, data_types, offsets, data):
    """Read the points of a StoreProto that `count_store_points` found sound so far; returns (rows, status)."""
    at, end = np.int64(0), np.int64(len(buffer))
    row = filled = np.int64(0)
    offsets[0] = 0
    while at < end:
        number, wire_type, start, stop = _field(buffer, at, end)
        if number < 0:
            return row, BAD_PROTOBUF
        if wire_type != 2:
            at = _skip(buffer, start, end, wire_type)
            if at < 0:
                return row, BAD_PROTOBUF
            continue
        at = stop
        if number != 6:
            continue
        elapsed = channel = data_type = payload = payload_end = np.int64(0)
        while start < stop:
            inner, inner_type, value_at, value_end = _field(buffer, start, stop)
            if inner < 0:
                return row, BAD_PROTOBUF
            if inner_type == 0:
                value, start = _varint(buffer, value_at, stop)
                if inner == 1:
                    elapsed = value
                elif inner == 2:
                    channel = value & 0xFFFFFFFF
                elif inner == 3:
                    data_type = value & 0xFFFFFFFF
            elif inner_type == 2:
                start = value_end
                if inner == 4:
                    payload, payload_end = value_at, value_end
            else:
                start = _skip(buffer, value_at, stop, inner_type)
            if start < 0:
                return row, BAD_PROTOBUF
        elapsed_ns[row], channels[row], data_types[row] = elapsed, channel, data_type
        filled = _copy(buffer, payload, payload_end, data, filled)
        row += 1
        offsets[row] = filled
    return row, DONE


@njit(cache=True, nogil=True)
def write_store_points(elapsed_ns, codes, channels, data_types, offsets, data, out):
    """Write the repeated points of a StoreProto; returns the bytes written.

    `channels` and `data_types` are looked up by series code. `out` needs, for each row, its payload and 48 bytes more.
    """
    at = np.int64(0)
    for row in range(len(elapsed_ns)):
        elapsed, code = elapsed_ns[row], codes[row]
        channel, data_type = channels[code], data_types[code]
        start, stop = np.int64(offsets[row]), np.int64(offsets[row + 1])
        size = stop - start
        out[at] = 0x32
        length_at = at + 1
        if size < 90:  # then all fields take less than 128 bytes, and their length is one byte that is filled in afterwards
            at += 2
        else:
            inner = 1 + _varint_size(size) + size
            if elapsed != 0:
                inner += 1 + _varint_size(elapsed)
            if channel != 0:
                inner += 1 + _varint_size(channel)
            if data_type != 0:
                inner += 1 + _varint_size(data_type)
            at = _put_varint(out, length_at, inner)
        if elapsed != 0:
            out[at] = 0x08
            at = _put_varint(out, at + 1, elapsed)
        if channel != 0:
            out[at] = 0x10
            at = _put_varint(out, at + 1, channel)
        if data_type != 0:
            out[at] = 0x18
            at = _put_varint(out, at + 1, data_type)
        if size != 0:
            out[at] = 0x22
            at = _put_varint(out, at + 1, size)
            if not _copied_block(data, start, size, out, at):
                _copy(data, start, stop, out, at)
            at += size
        if size < 90:
            out[length_at] = at - length_at - 1
    return at


# --- units of a stream (protocol 5.2, 5.5) ----------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _counted_number(buffer, at, end, minimum, count_bits):
    """Read a variable length integer of protocol 5.2: (value, position behind it), or position -1."""
    if end - at < minimum:
        return np.int64(0), np.int64(-1)
    further = np.int64(buffer[at]) & ((1 << count_bits) - 1)
    size = minimum + further
    if size > 4 or end - at < size:
        return np.int64(0), np.int64(-1)
    value = np.int64(0)
    for i in range(size):
        value |= np.int64(buffer[at + i]) << (8 * i)
    return value >> count_bits, at + size


@njit(cache=True, nogil=True)
def _unit_head(buffer, at, end):
    """Read a Unit up to its payload: (elapsed_ns, payload start, payload end); start -1 when it is cut or malformed."""
    if end - at < 5:
        return np.int64(0), np.int64(-1), np.int64(-1)
    seconds, here = _counted_number(buffer, at + 5, end, 2, 1)
    if here < 0:
        return np.int64(0), here, here
    fraction, past = _counted_number(buffer, here, end, 2, 2)
    if past < 0:
        return np.int64(0), past, past
    width = past - here  # the width names the unit: ms, us, ns
    scale = 1_000_000 if width == 2 else 1_000 if width == 3 else 1
    size, here = _counted_number(buffer, past, end, 1, 2)
    if here < 0 or size > end - here:
        return np.int64(0), np.int64(-1), np.int64(-1)
    return seconds * NS + fraction * scale, here, here + size


@njit(cache=True, nogil=True)
def count_units(buffer, at, end):
    """Count the units that stand back to back from `at` on: (units, position behind them)."""
    units = 0
    while end - at >= 2 and buffer[at] == 0xAA and buffer[at + 1] == 0x03:
        _, start, stop = _unit_head(buffer, at, end)
        if start < 0:
            break
        units += 1
        at = stop
    return units, at


@njit(cache=True, nogil=True)
def read_unit_run(buffer, at, end, row, stream_ids, elapsed_ns, channels, data_types, offsets, data):
    """Read units that stand back to back into columns: (rows in all, position behind them, status)."""
    filled = offsets[row]
    while at < end:
        if end - at < 2:
            return row, at, BAD_LENGTH
        if buffer[at] != 0xAA or buffer[at + 1] != 0x03:
            return row, at, OTHER_ELEMENT
        elapsed, start, stop = _unit_head(buffer, at, end)
        if start < 0:
            return row, at, BAD_LENGTH
        if row >= len(elapsed_ns) or filled + stop - start > len(data):
            return row, at, NEED_SPACE
        stream_ids[row], channels[row], data_types[row] = buffer[at + 2], buffer[at + 3], buffer[at + 4]
        elapsed_ns[row] = elapsed
        filled = _copy(buffer, start, stop, data, filled)
        row += 1
        offsets[row] = filled
        at = stop
    return row, at, DONE


@njit(cache=True, nogil=True)
def _put_counted_number(out, at, value, minimum, count_bits, size):
    value = (value << count_bits) | (size - minimum)
    for i in range(size):
        out[at + i] = (value >> (8 * i)) & 0xFF
    return at + size


@njit(cache=True, nogil=True)
def write_unit_run(stream_id, elapsed_ns, codes, channels, data_types, offsets, data, out):
    """Write units with nanoseconds; returns the bytes written. `out` needs, for each row, its payload and 16 bytes more.

    The caller has checked elapsed times (0 to 8 388 607 s) and payload sizes (under 2**30).
    """
    at = np.int64(0)
    for row in range(len(elapsed_ns)):
        seconds = elapsed_ns[row] // NS
        code = codes[row]
        start, stop = offsets[row], offsets[row + 1]
        size = stop - start
        out[at], out[at + 1], out[at + 2] = 0xAA, 0x03, stream_id
        out[at + 3], out[at + 4] = channels[code], data_types[code]
        at = _put_counted_number(out, at + 5, seconds, 2, 1, 2 if seconds < 1 << 15 else 3)
        at = _put_counted_number(out, at, elapsed_ns[row] - seconds * NS, 2, 2, 4)
        width = 1 if size < 1 << 6 else 2 if size < 1 << 14 else 3 if size < 1 << 22 else 4
        at = _put_counted_number(out, at, size, 1, 2, width)
        at = _copy(data, start, stop, out, at)
    return at


# --- payloads (protocol 6) --------------------------------------------------------------------------------------------


@njit(cache=True, nogil=True)
def _after_characters(data, at, stop, count):
    """Position behind `count` UTF-8 characters, or `stop`: up to three bytes 10xxxxxx belong to the character before them."""
    for _ in range(count):
        if at < stop:
            at += 1
        further = 0
        while further < 3 and at < stop and data[at] & 0xC0 == 0x80:
            at += 1
            further += 1
    return at


@njit(cache=True, nogil=True)
def _characters(data, at, stop):
    """Number of characters of valid UTF-8."""
    count = 0
    for i in range(at, stop):
        if data[i] & 0xC0 != 0x80:
            count += 1
    return count


@njit(cache=True, nogil=True)
def intern_payload_ids(first, channels, data_types, offsets, data, id_kinds, id_widths, codes, state):
    """Give every point the code of its (data type, channel, data id as it stands in the payload), from row `first` on.

    `id_kinds` and `id_widths` are looked up by data type. A payload too short for its id gets an empty one. Returns the rows
    done: fewer than all when the dictionary must grow.
    """
    slots, tags, hashes, bounds, arena, counters = state
    for row in range(first, len(channels)):
        start, stop = offsets[row], offsets[row + 1]
        kind, width = id_kinds[data_types[row]], id_widths[data_types[row]]
        from_ = to = start
        if kind == NUMBER_ID and stop - start >= width:
            to = start + width
        elif kind == COUNTED_NAME and stop > start and 1 + np.int64(data[start]) <= stop - start:
            from_, to = start + 1, start + 1 + np.int64(data[start])
        elif kind == NMEA_ID and stop > start:
            from_ = _after_characters(data, start, stop, 1)
            to = _after_characters(data, from_, stop, 5)
        tag = (np.int64(data_types[row]) << 8) | np.int64(channels[row])
        code = _intern(slots, tags, hashes, bounds, arena, counters, data, tag, from_, to, start, start, start, start)
        if code < 0:
            return row
        codes[row] = code
    return len(channels)


@njit(cache=True, nogil=True)
def _utf8_end(data, at, end):
    """Position of the first byte that is not valid UTF-8, or `end` (Unicode 15, table 3-7)."""
    while at < end:
        while end - at >= 8 and _word(data, at) & -0x7F7F7F7F7F7F7F80 == 0:  # the top bits of eight bytes
            at += 8
        if at == end:
            return end
        lead = data[at]
        if lead < 0x80:
            at += 1
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= lead <= 0xDF:
            further = 1
        elif 0xE0 <= lead <= 0xEF:
            further = 2
            low = 0xA0 if lead == 0xE0 else low
            high = 0x9F if lead == 0xED else high
        elif 0xF0 <= lead <= 0xF4:
            further = 3
            low = 0x90 if lead == 0xF0 else low
            high = 0x8F if lead == 0xF4 else high
        else:
            return at
        if end - at <= further or not low <= data[at + 1] <= high:
            return at
        for i in range(2, further + 1):
            if not 0x80 <= data[at + i] <= 0xBF:
                return at
        at += further + 1
    return at


@njit(cache=True, nogil=True)
def locate_heads(data, offsets, rows, codes, named, names, name_bounds, head_size, exact, starts, marks):
    """Find where the fixed fields of each payload begin, and whether the payload fits its layout.

    `exact` says that nothing may follow the head. With `named`, a counted id stands before the head; it should be the series' own
    (``names[name_bounds[code]:name_bounds[code + 1]]``). Older senders counted characters and not bytes (protocol 6.6), so when
    the count is that of the characters of the series' own id and this stands there, it is taken and the payload is only READABLE.
    """
    tail_bytes = np.int64(0)
    for i in range(len(rows)):
        start, stop = offsets[rows[i]], offsets[rows[i] + 1]
        mark = CANONICAL
        if named:
            name, name_end = name_bounds[codes[rows[i]]], name_bounds[codes[rows[i]] + 1]
            size = name_end - name
            counted = np.int64(data[start]) if stop > start else np.int64(-1)
            fits = counted >= 0 and 1 + counted <= stop - start
            if fits and counted == size and _same(data, start + 1, names, name, name_end):
                start += 1 + size
            elif (
                0 < size <= stop - start - 1
                and counted == _characters(names, name, name_end)
                and _same(data, start + 1, names, name, name_end)
            ):
                mark = READABLE
                start += 1 + size
            elif fits and _utf8_end(data, start + 1, start + 1 + counted) == start + 1 + counted:
                mark = READABLE
                start += 1 + counted
            else:
                mark = UNDECODABLE
        if stop - start < head_size or (exact and stop - start != head_size):
            mark = UNDECODABLE
        if mark != UNDECODABLE:
            tail_bytes += stop - start - head_size
        starts[i], marks[i] = start, mark
    return tail_bytes


@njit(cache=True, nogil=True)
def find_undecodable_text(data, offsets, rows, starts, head_size, marks):
    """Mark the payloads whose tail is not UTF-8."""
    for i in range(len(rows)):
        stop = offsets[rows[i] + 1]
        if marks[i] != UNDECODABLE and _utf8_end(data, starts[i] + head_size, stop) != stop:
            marks[i] = UNDECODABLE


@njit(cache=True, nogil=True)
def group_rows(groups, codes, bounds, rows):
    """Sort the positions of rows by group, keeping their order within each.

    ``groups[codes[row]]`` is the group of a row; group g gets ``rows[bounds[g]:bounds[g + 1]]``. `bounds` has a place more than
    there are groups.
    """
    bounds[:] = 0
    for row in range(len(codes)):
        bounds[groups[codes[row]] + 1] += 1
    for group in range(1, len(bounds)):
        bounds[group] += bounds[group - 1]
    filled = bounds.copy()
    for row in range(len(codes)):
        group = groups[codes[row]]
        rows[filled[group]] = row
        filled[group] += 1


@njit(cache=True, nogil=True)
def gather_heads(data, starts, marks, head_size, out):
    """Copy the fixed fields of each payload side by side; zeros where it is undecodable."""
    at = 0
    for i in range(len(starts)):
        start = starts[i]
        if marks[i] == UNDECODABLE:
            for j in range(head_size):
                out[at + j] = 0
        elif head_size <= 8 and start + 8 <= len(data) and at + 8 <= len(out):
            _put_word(out, at, _word(data, start))  # what is too much is overwritten by the next row
        else:
            _copy(data, start, start + head_size, out, at)
        at += head_size


@njit(cache=True, nogil=True)
def gather_tails(data, offsets, rows, starts, marks, head_size, out, out_offsets):
    """Copy what follows the head of each payload back to back; nothing where it is undecodable. Returns the bytes copied."""
    filled = np.int64(0)
    out_offsets[0] = 0
    for i in range(len(rows)):
        if marks[i] != UNDECODABLE:
            start, stop = starts[i] + head_size, np.int64(offsets[rows[i] + 1])
            if not _copied_block(data, start, stop - start, out, filled):
                _copy(data, start, stop, out, filled)
            filled += stop - start
        out_offsets[i + 1] = filled
    return filled


@njit(cache=True, nogil=True)
def join_payloads(
    named, names, name_bounds, codes, heads, head_size, tails, tail_offsets, kept, kept_offsets, is_kept, out, out_offsets
):
    """Put payloads together again: counted id, head and tail, or the kept bytes where there are any. Returns the bytes written.

    An empty `tail_offsets` means that no payload has a tail, an empty `is_kept` that none was kept. Names have at most 255 bytes.
    """
    filled = np.int64(0)
    out_offsets[0] = 0
    for row in range(len(codes)):
        if len(is_kept) > 0 and is_kept[row]:
            filled = _copy(kept, kept_offsets[row], kept_offsets[row + 1], out, filled)
        else:
            if named:
                name, name_end = name_bounds[codes[row]], name_bounds[codes[row] + 1]
                out[filled] = name_end - name
                filled = _copy(names, name, name_end, out, filled + 1)
            if not _copied_block(heads, row * head_size, head_size, out, filled):
                _copy(heads, row * head_size, (row + 1) * head_size, out, filled)
            filled += head_size
            if len(tail_offsets) > 0:
                start, stop = np.int64(tail_offsets[row]), np.int64(tail_offsets[row + 1])
                if not _copied_block(tails, start, stop - start, out, filled):
                    _copy(tails, start, stop, out, filled)
                filled += stop - start
        out_offsets[row + 1] = filled
    return filled


@njit(cache=True, nogil=True)
def copy_rows(data, offsets, rows, out, out_offsets):
    """Copy the payloads of some rows back to back; returns the bytes copied."""
    filled = np.int64(0)
    out_offsets[0] = 0
    for i in range(len(rows)):
        filled = _copy(data, offsets[rows[i]], offsets[rows[i] + 1], out, filled)
        out_offsets[i + 1] = filled
    return filled
