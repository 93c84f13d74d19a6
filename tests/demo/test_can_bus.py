"""The frames against ``fixtures/drive.dbc``, read bit by bit as DBC defines it, with nothing of the package's own arithmetic."""

import re
from pathlib import Path

import numpy as np
import pytest

from intdash_frames.demo.can_bus import MESSAGES, dbc, encode
from intdash_frames.demo.vehicle import simulate

DBC = Path(__file__).parents[2] / "fixtures" / "drive.dbc"
MESSAGE_LINE = re.compile(r"BO_ (\d+) (\w+): (\d+) \w+")
SIGNAL_LINE = re.compile(r' SG_ (\w+) : (\d+)\|(\d+)@([01])([+-]) \(([^,]+),([^)]+)\) \[([^|]+)\|([^]]+)\] "([^"]*)" \w+')


def definitions():
    """``{name: (id, {signal: (start, bits, big endian, signed, scale, offset)})}`` from the file."""
    found, current = {}, None
    for line in DBC.read_text("utf-8").splitlines():
        if match := MESSAGE_LINE.fullmatch(line):
            current = {}
            found[match[2]] = (int(match[1]), current)
        elif line.startswith(" SG_"):
            match = SIGNAL_LINE.fullmatch(line)
            assert match is not None, line
            current[match[1]] = (int(match[2]), int(match[3]), match[4] == "0", match[5] == "-", float(match[6]), float(match[7]))
    return found


def positions(start, bits, big_endian):
    """Places (byte, bit) of a signal, most significant first. Motorola: down within a byte, then the top of the next."""
    if not big_endian:
        return [((start + i) // 8, (start + i) % 8) for i in reversed(range(bits))]
    places, byte, bit = [], start // 8, start % 8
    for _ in range(bits):
        places.append((byte, bit))
        byte, bit = (byte, bit - 1) if bit else (byte + 1, 7)
    return places


def decoded(frames, definition):
    start, bits, big_endian, signed, scale, offset = definition
    raw = np.zeros(len(frames), np.int64)
    for byte, bit in positions(start, bits, big_endian):
        raw = raw * 2 + (frames[:, byte] >> bit & 1)
    if signed:
        raw = np.where(raw >= 1 << bits - 1, raw - (1 << bits), raw)
    return raw * scale + offset


@pytest.fixture(scope="module")
def motion():
    return simulate(1, 120.0)


def test_file_is_the_one_that_the_table_gives():
    assert DBC.read_text("utf-8") == dbc()


def test_no_two_signals_of_a_message_share_a_bit():
    for name, (_, signals) in definitions().items():
        taken = [place for start, bits, big, *_ in signals.values() for place in positions(start, bits, big)]
        assert len(taken) == len(set(taken)), name
        assert all(0 <= byte < 8 for byte, _ in taken), name


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.name)
def test_every_signal_decodes_to_the_quantity_within_half_a_step(message, motion):
    dbc_id, signals = definitions()[message.name]
    assert dbc_id == (message.can_id if message.can_id < 0x800 else message.can_id | 0x80000000)
    times = np.arange(0, 120_000_000_000, 50_000_000, dtype=np.int64)
    frames = encode(message, motion, times)
    assert frames.shape == (len(times), 8)
    for signal in message.signals:
        values = decoded(frames, signals[signal.name])
        if signal.source == "counter":
            np.testing.assert_array_equal(values, np.arange(len(times)) % (1 << signal.bits))
        else:
            np.testing.assert_allclose(values, motion.at(signal.source, times), atol=signal.scale / 2 + 1e-9, rtol=0)


def test_both_byte_orders_signs_and_id_widths_are_there():
    orders = {(big, signed) for _, signals in definitions().values() for _, _, big, signed, _, _ in signals.values()}
    assert orders == {(False, False), (False, True), (True, False), (True, True)}
    assert {message.can_id > 0x7FF for message in MESSAGES} == {False, True}
    assert {10, 100} <= {message.rate_hz for message in MESSAGES}
