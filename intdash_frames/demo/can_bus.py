"""The messages on the vehicle's CAN bus: one table gives the frames and the DBC file, ``fixtures/drive.dbc``, to decode them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from intdash_frames.demo.vehicle import Motion

__all__ = ["MESSAGES", "Message", "Signal", "dbc", "encode"]

COUNTER = "counter"  # the one source that is not a quantity of `Motion`: counts the frames of its message
EXTENDED_FLAG = 1 << 31  # how a DBC file marks a 29 bit id; on the bus, and so in the payload, the id stands without it
SIZE_BYTES = 8


class Signal(NamedTuple):
    """Where a quantity stands in the data bytes: the columns of a ``SG_`` line.

    `start` is DBC's own: the lowest bit of a little-endian signal, the highest of a big-endian one, bits counted from the lowest
    bit of byte 0.
    """

    name: str
    source: str
    start: int
    bits: int
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    signed: bool = False
    big_endian: bool = False
    states: tuple[str, ...] = ()

    @property
    def raw_range(self) -> tuple[int, int]:
        """Smallest and largest raw value [count]."""
        return (-(1 << self.bits - 1), (1 << self.bits - 1) - 1) if self.signed else (0, (1 << self.bits) - 1)


@dataclass(frozen=True, slots=True)
class Message:
    """One CAN id, sent `rate_hz` times a second."""

    can_id: int
    name: str
    rate_hz: int
    signals: tuple[Signal, ...]


MESSAGES = (
    Message(
        0x0A0,
        "ENGINE",
        100,
        (
            Signal("EngineSpeed", "engine_rpm", 0, 16, 0.25, unit="rpm"),
            Signal("Torque", "torque_nm", 16, 12, 0.5, unit="Nm", signed=True),
            Signal("Throttle", "throttle_pct", 28, 8, 0.5, unit="%"),
            Signal("EngineCounter", COUNTER, 56, 4),
        ),
    ),
    Message(
        0x0C2,
        "STEERING",
        100,
        (
            Signal("SteeringAngle", "steering_deg", 7, 16, 0.1, unit="deg", signed=True, big_endian=True),
            Signal("SteeringRate", "steering_rate_dps", 23, 16, 0.1, unit="deg/s", signed=True, big_endian=True),
        ),
    ),
    Message(
        0x0D0,
        "BRAKE",
        50,
        (
            Signal("BrakePressure", "brake_bar", 3, 12, 0.1, unit="bar", big_endian=True),
            Signal("BrakeSwitch", "brake_switch", 7, 1, states=("released", "pressed")),
            Signal("BrakeCounter", COUNTER, 59, 4, big_endian=True),
        ),
    ),
    Message(
        0x1A0,
        "SPEED",
        100,
        (
            Signal("VehicleSpeed", "speed_kmh", 7, 16, 0.01, unit="km/h", big_endian=True),
            Signal("SpeedCounter", COUNTER, 55, 8, big_endian=True),
        ),
    ),
    Message(
        0x1B0,
        "WHEELS",
        50,
        (
            Signal("WheelSpeedFL", "wheel_fl_kmh", 0, 16, 0.01, unit="km/h"),
            Signal("WheelSpeedFR", "wheel_fr_kmh", 16, 16, 0.01, unit="km/h"),
            Signal("WheelSpeedRL", "wheel_rl_kmh", 32, 16, 0.01, unit="km/h"),
            Signal("WheelSpeedRR", "wheel_rr_kmh", 48, 16, 0.01, unit="km/h"),
        ),
    ),
    Message(
        0x1C4,
        "DYNAMICS",
        50,
        (
            Signal("YawRate", "yaw_rate_dps", 0, 14, 0.01, unit="deg/s", signed=True),
            Signal("LongitudinalAcceleration", "accel_x_mps2", 14, 12, 0.01, unit="m/s^2", signed=True),
            Signal("LateralAcceleration", "accel_y_mps2", 26, 12, 0.01, unit="m/s^2", signed=True),
        ),
    ),
    Message(0x2F0, "GEARBOX", 20, (Signal("Gear", "gear", 4, 4),)),
    Message(
        0x3B0,
        "BODY",
        10,
        (
            Signal("Indicator", "indicator", 0, 2, states=("off", "left", "right")),
            Signal("Headlamp", "lamp", 2, 1, states=("off", "on")),
        ),
    ),
    Message(
        0x3D0,
        "CLIMATE",
        10,
        (
            Signal("CoolantTemp", "coolant_degc", 0, 8, 1.0, -40.0, "degC"),
            Signal("AmbientTemp", "ambient_degc", 8, 10, 0.1, -40.0, "degC"),
            Signal("BatteryVoltage", "battery_v", 31, 12, 0.01, unit="V", big_endian=True),
        ),
    ),
    Message(
        0x4A0,
        "CLUSTER",
        10,
        (
            Signal("Odometer", "odometer_m", 7, 28, 1.0, unit="m", big_endian=True),
            Signal("FuelLevel", "fuel_pct", 39, 8, 0.5, unit="%", big_endian=True),
        ),
    ),
    Message(0x18FEF100, "CCVS", 10, (Signal("WheelBasedVehicleSpeed", "speed_kmh", 8, 16, 1 / 256, unit="km/h"),)),
)


def encode(message: Message, motion: Motion, elapsed_ns: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Make the data bytes of all frames of one message.

    Parameters
    ----------
    message : Message
        Which signals stand where.
    motion : Motion
        Where the values come from.
    elapsed_ns : ndarray of int64, shape (n,)
        When the frames are sent [ns].

    Returns
    -------
    ndarray of uint8, shape (n, 8)
        Unused bits are 0; a value beyond a signal's range becomes the nearest that fits.
    """
    little, big = np.zeros(len(elapsed_ns), "<u8"), np.zeros(len(elapsed_ns), ">u8")
    for signal in message.signals:
        values = (
            np.arange(len(elapsed_ns)) % (1 << signal.bits) if signal.source == COUNTER else motion.at(signal.source, elapsed_ns)
        )
        raw = np.clip(np.rint((values - signal.offset) / signal.scale), *signal.raw_range).astype(np.int64)
        bits = raw.view(np.uint64) & np.uint64((1 << signal.bits) - 1)
        if signal.big_endian:
            from_the_top = signal.start // 8 * 8 + 7 - signal.start % 8
            big |= bits << np.uint64(8 * SIZE_BYTES - from_the_top - signal.bits)
        else:
            little |= bits << np.uint64(signal.start)
    return _as_bytes(little) | _as_bytes(big)


def dbc() -> str:
    """Write the table as a DBC file.

    Returns
    -------
    str
        With message rates (``GenMsgCycleTime``) and names of states.
    """
    lines = ['VERSION ""', "", "NS_ :", "", "BS_:", "", "BU_: Vehicle Logger", ""]
    for message in MESSAGES:
        lines.append(f"BO_ {_dbc_id(message)} {message.name}: {SIZE_BYTES} Vehicle")
        lines += [f" {_dbc_signal(signal)}" for signal in message.signals]
        lines.append("")
    lines.append('CM_ "The vehicle of the intdash-frames demo drive.";')
    lines += ['BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;', 'BA_DEF_DEF_ "GenMsgCycleTime" 0;']
    lines += [f'BA_ "GenMsgCycleTime" BO_ {_dbc_id(message)} {1000 // message.rate_hz};' for message in MESSAGES]
    for message in MESSAGES:
        for signal in message.signals:
            if signal.states:
                states = " ".join(f'{number} "{state}"' for number, state in enumerate(signal.states))
                lines.append(f"VAL_ {_dbc_id(message)} {signal.name} {states} ;")
    return "\n".join(lines) + "\n"


def _dbc_id(message: Message) -> int:
    return message.can_id | (EXTENDED_FLAG if message.can_id > 0x7FF else 0)


def _dbc_signal(signal: Signal) -> str:
    order, sign = ("0" if signal.big_endian else "1"), ("-" if signal.signed else "+")
    low, high = (f"{raw * signal.scale + signal.offset:.10g}" for raw in signal.raw_range)
    place = f"{signal.start}|{signal.bits}@{order}{sign}"
    return f'SG_ {signal.name} : {place} ({signal.scale:.10g},{signal.offset:.10g}) [{low}|{high}] "{signal.unit}" Logger'


def _as_bytes(words: NDArray[Any]) -> NDArray[np.uint8]:
    return words.view(np.uint8).reshape(len(words), SIZE_BYTES)
