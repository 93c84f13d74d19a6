"""How the vehicle moves: a route driven leg by leg, and everything its sensors could see on the way.

The speed comes first; the rest follows from it, so that all signals agree with each other: acceleration is its derivative,
distance its integral, yaw rate is speed times curvature, the track is the integral of speed along the heading.

Axes are those of ISO 8855: x forward, y to the left, z up, angles positive to the left. Only ``heading_deg`` is a compass angle.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LAP_S", "Motion", "random_for", "simulate", "steady_noise"]

STEP_S = 0.002  # five times finer than the fastest sensor
LAP_S = 120.0  # a lap begins and ends at a standstill
JERK_TIME_S = 0.5  # a driver needs about a second (two such windows) from one pedal position to another

EARTH_RADIUS_M = 6_371_008.8
START_LAT_DEG, START_LON_DEG, START_ALT_M, START_HEADING_DEG = 35.68, 139.77, 4.0, 40.0
START_ODOMETER_M = 48_213_700.0

MASS_KG, WHEELBASE_M, TRACK_WIDTH_M, TYRE_RADIUS_M, STEERING_RATIO = 1500.0, 2.7, 1.55, 0.31, 15.0
ROLLING_N, AIR_N_PER_M2S2, ENGINE_BRAKE_N = 180.0, 0.4, 400.0
IDLE_RPM, FINAL_DRIVE, MAX_TORQUE_NM = 750.0, 3.9, 360.0
GEAR_RATIOS = np.array([3.6, 2.1, 1.4, 1.0, 0.8, 0.65])
SHIFT_UP_MPS = (4.5, 8.5, 12.5, 18.5, 29.0)
SHIFT_DOWN_MPS = (3.0, 7.0, 10.5, 15.5, 25.0)  # below the way up, or the gearbox would hunt


class Leg(NamedTuple):
    """Change to a speed, then hold it, turning evenly while it is held."""

    event: str
    speed_kmh: float
    accel_mps2: float
    hold_s: float
    turn_deg: float = 0.0


ROUTE = (
    Leg("engine started", 0, 1.0, 3.0),
    Leg("set off", 50, 1.8, 5.0, -8),
    Leg("red light", 0, 2.2, 7.0),
    Leg("green light", 48, 1.9, 3.0),
    Leg("left turn", 20, 2.0, 4.5, 88),
    Leg("motorway ramp", 60, 1.6, 5.0, 42),
    Leg("motorway", 100, 1.4, 9.0, -7),
    Leg("lane change", 100, 1.0, 2.0, -3),
    Leg("overtaking", 110, 0.8, 2.5, 3),
    Leg("motorway exit", 45, 1.6, 4.0, 30),
    Leg("parked", 0, 1.8, 2.0),
)


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What happened, on a fine grid of time.

    Attributes
    ----------
    signals : dict of str to ndarray, shape (n,)
        One array per quantity, its unit in its name. Integer arrays are states, which hold until they change.
    events : tuple of (float, str)
        Moments [s] and what happened then.
    """

    signals: dict[str, NDArray[Any]]
    events: tuple[tuple[float, str], ...]

    def at(self, name: str, elapsed_ns: NDArray[np.int64]) -> NDArray[Any]:
        """Value of one quantity at each time; between two steps floats are interpolated, states hold.

        Parameters
        ----------
        name : str
            Key of `signals`.
        elapsed_ns : ndarray of int64, shape (n,)
            Times since the start [ns].

        Returns
        -------
        ndarray, shape (n,)
            In the unit that the name says.
        """
        values = self.signals[name]
        position = elapsed_ns / (STEP_S * 1e9)
        if values.dtype.kind == "f":
            return np.asarray(np.interp(position, np.arange(len(values)), values))
        held: NDArray[Any] = values[np.minimum(position.astype(np.int64), len(values) - 1)]
        return held


def random_for(seed: int, purpose: str) -> np.random.Generator:
    """Give each purpose its own random numbers, so that a new signal does not change the others."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def steady_noise(random: np.random.Generator, n: int, *, correlation_s: float) -> NDArray[np.float64]:
    """Noise of about unit size that wanders slowly: smooth, with no jumps.

    Parameters
    ----------
    random : numpy.random.Generator
        Where the numbers come from.
    n : int
        Steps of the fine grid [count].
    correlation_s : float
        Time after which it has forgotten its value [s].

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    stride = max(1, round(correlation_s / STEP_S))
    knots = random.standard_normal(n // stride + 2)
    return _smooth(np.interp(np.arange(n) / stride, np.arange(len(knots)), knots), correlation_s / 2)


def simulate(seed: int, duration_s: float) -> Motion:
    """Drive the route, lap after lap.

    Parameters
    ----------
    seed : int
        The same seed gives the same drive.
    duration_s : float
        How long to drive [s]; a lap takes 120 s.

    Returns
    -------
    Motion
        Covers the time from 0 to `duration_s`.
    """
    n = math.ceil(duration_s / STEP_S) + 2
    t = np.arange(n, dtype=np.float64) * STEP_S
    knots, turns, events = _plan(random_for(seed, "plan"), duration_s)

    speed = _smooth(np.interp(t, [at for at, _ in knots], [v for _, v in knots]), JERK_TIME_S)
    speed *= 1.0 + 0.008 * steady_noise(random_for(seed, "pedal"), n, correlation_s=3.0)
    speed[speed < 1e-6] = 0.0
    curvature = _smooth(_steps(t, turns), JERK_TIME_S)
    accel = np.gradient(speed, STEP_S)
    yaw_rate = speed * curvature
    yaw = _integral(yaw_rate)
    heading = math.radians(START_HEADING_DEG) - yaw
    distance = _integral(speed)
    north, east = _integral(speed * np.cos(heading)), _integral(speed * np.sin(heading))

    signals: dict[str, NDArray[Any]] = {
        "speed_kmh": speed * 3.6,
        "accel_x_mps2": accel,
        "accel_y_mps2": speed * yaw_rate,
        "yaw_rate_dps": np.degrees(yaw_rate),
        "heading_deg": np.degrees(heading),  # not wrapped, so that it can be interpolated
        "distance_m": distance,
        "odometer_m": START_ODOMETER_M + distance,
        "lat_deg": START_LAT_DEG + np.degrees(north / EARTH_RADIUS_M),
        "lon_deg": START_LON_DEG + np.degrees(east / (EARTH_RADIUS_M * math.cos(math.radians(START_LAT_DEG)))),
        "alt_m": START_ALT_M + 3.0 * np.sin(distance / 250.0),
        "indicator": np.select([curvature > 0.004, curvature < -0.004], [1, 2], 0).astype(np.uint8),
        "lamp": np.ones(n, np.uint8),
    }
    signals |= _wheels(speed, accel, curvature, random_for(seed, "wheels"))
    signals |= _driveline(speed, accel, random_for(seed, "driveline"))
    signals |= _steering(speed, curvature)
    signals |= _climate(t, random_for(seed, "climate"))
    return Motion(signals, events)


def _plan(
    random: np.random.Generator, duration_s: float
) -> tuple[list[tuple[float, float]], list[tuple[float, float]], tuple[tuple[float, str], ...]]:
    """Corner points of the speed [s, m/s], steps of the curvature [s, 1/m], and the events."""
    knots, turns, events = [(0.0, 0.0)], [(0.0, 0.0)], []
    speed = 0.0
    for lap in range(math.ceil(duration_s / LAP_S)):
        now = lap * LAP_S
        for leg in ROUTE:
            target = leg.speed_kmh / 3.6 * random.uniform(0.95, 1.03)
            accel, hold = leg.accel_mps2 * random.uniform(0.95, 1.1), leg.hold_s * random.uniform(0.85, 1.1)
            events.append((now, leg.event))
            now += abs(target - speed) / accel
            knots += [(now, target), (now + hold, target)]
            if leg.turn_deg:
                turns += [(now, math.radians(leg.turn_deg) / (target * hold)), (now + hold, 0.0)]
            now, speed = now + hold, target
        knots.append(((lap + 1) * LAP_S, 0.0))  # parked until the next lap begins
    return knots, turns, tuple(event for event in events if event[0] < duration_s)


def _wheels(
    speed: NDArray[np.float64], accel: NDArray[np.float64], curvature: NDArray[np.float64], random: np.random.Generator
) -> dict[str, NDArray[Any]]:
    slip = 1.0 + 0.004 * accel  # the driven front wheels turn a little faster than the road under power
    left, right = 1.0 - curvature * TRACK_WIDTH_M / 2, 1.0 + curvature * TRACK_WIDTH_M / 2
    sides = {"wheel_fl_kmh": left * slip, "wheel_fr_kmh": right * slip, "wheel_rl_kmh": left, "wheel_rr_kmh": right}
    return {name: 3.6 * speed * ratio * (1.0 + 4e-4 * random.standard_normal(len(speed))) for name, ratio in sides.items()}


def _driveline(speed: NDArray[np.float64], accel: NDArray[np.float64], random: np.random.Generator) -> dict[str, NDArray[Any]]:
    shifts = [_with_hysteresis(speed, up, down) for up, down in zip(SHIFT_UP_MPS, SHIFT_DOWN_MPS, strict=True)]
    gear = 1 + np.add.reduce(shifts, axis=0, dtype=np.int64)
    ratio = GEAR_RATIOS[gear - 1] * FINAL_DRIVE
    rpm = _smooth(np.maximum(IDLE_RPM, speed / (2 * math.pi * TYRE_RADIUS_M) * 60.0 * ratio), 0.15)
    force = MASS_KG * accel + np.where(speed > 0, ROLLING_N + AIR_N_PER_M2S2 * speed**2, 0.0)
    torque = np.clip(force, -ENGINE_BRAKE_N, None) * TYRE_RADIUS_M / (ratio * 0.9)
    brake = np.where(speed > 0, np.clip(-force - ENGINE_BRAKE_N, 0.0, None) / MASS_KG * 10.0, 12.0)  # held at a standstill
    brake = _smooth(brake, 0.1)
    return {
        "gear": gear,
        "engine_rpm": rpm + 6.0 * random.standard_normal(len(rpm)),
        "torque_nm": torque,
        "throttle_pct": np.clip(100.0 * torque / MAX_TORQUE_NM, 0.0, 100.0),
        "brake_bar": brake,
        "brake_switch": (brake > 0.5).astype(np.uint8),
    }


def _steering(speed: NDArray[np.float64], curvature: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
    understeer = 1.0 + 0.0012 * speed**2
    angle = np.degrees(np.arctan(WHEELBASE_M * curvature) * understeer) * STEERING_RATIO
    return {"steering_deg": angle, "steering_rate_dps": np.gradient(angle, STEP_S)}


def _climate(t: NDArray[np.float64], random: np.random.Generator) -> dict[str, NDArray[Any]]:
    n = len(t)
    return {
        "coolant_degc": 90.0 - 28.0 * np.exp(-t / 200.0) + 0.2 * steady_noise(random, n, correlation_s=10.0),
        "ambient_degc": 18.5 + 0.3 * steady_noise(random, n, correlation_s=30.0),
        "battery_degc": 27.0 - 3.0 * np.exp(-t / 90.0) + 0.05 * steady_noise(random, n, correlation_s=5.0),
        "battery_v": 14.1 + 0.05 * steady_noise(random, n, correlation_s=1.0),
        "fuel_pct": 62.0 - t * 4e-4,
    }


def _smooth(values: NDArray[np.float64], window_s: float) -> NDArray[np.float64]:
    """Mean over the window just past, twice, so that the slope has no corners either."""
    width = max(1, round(window_s / STEP_S))
    for _ in range(2):
        total = np.cumsum(np.concatenate(([0.0], np.full(width, values[0]), values)))
        values = ((total[width:] - total[:-width]) / width)[1:]
    return values


def _steps(t: NDArray[np.float64], steps: list[tuple[float, float]]) -> NDArray[np.float64]:
    """A value that holds from each moment to the next."""
    return np.array([value for _, value in steps])[np.searchsorted([at for at, _ in steps], t, side="right") - 1]


def _integral(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Running integral over the fine grid, by trapezoids, from 0."""
    return np.concatenate(([0.0], np.cumsum((values[1:] + values[:-1]) * (STEP_S / 2))))


def _with_hysteresis(values: NDArray[np.float64], up: float, down: float) -> NDArray[np.bool_]:
    """True from where the values pass `up` until they fall below `down`."""
    decided = (values > up) | (values < down)
    last_decided = np.maximum.accumulate(np.where(decided, np.arange(len(values)), 0))
    return values[last_decided] > up
