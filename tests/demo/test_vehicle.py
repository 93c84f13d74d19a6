"""The motion is one that a car can do, and its quantities agree with each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intdash_frames.demo.vehicle import LAP_S, MAX_TORQUE_NM, STEP_S, simulate


@given(seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=15)
def test_any_seed_gives_a_drive_within_the_limits_of_a_car(seed):
    motion = simulate(seed, LAP_S).signals
    assert np.abs(motion["accel_x_mps2"]).max() < 3.0
    assert np.abs(motion["accel_y_mps2"]).max() < 4.0
    assert np.abs(np.diff(motion["accel_x_mps2"]) / STEP_S).max() < 10.0
    assert 90 < motion["speed_kmh"].max() < 125
    assert motion["speed_kmh"].min() == 0.0
    assert motion["speed_kmh"][0] == motion["speed_kmh"][-1] == 0.0
    assert motion["engine_rpm"].min() > 700
    assert motion["engine_rpm"].max() < 4500
    assert motion["torque_nm"].max() < MAX_TORQUE_NM
    assert {1, 2, 3, 4, 5} <= set(motion["gear"]) <= {1, 2, 3, 4, 5, 6}
    assert np.count_nonzero(np.diff(motion["gear"])) < 40
    assert np.abs(motion["steering_deg"]).max() < 400
    assert not np.any((motion["throttle_pct"] > 20) & (motion["brake_bar"] > 20))


def test_quantities_agree_with_each_other():
    motion = simulate(4, LAP_S).signals
    speed = motion["speed_kmh"] / 3.6
    steps = np.diff(motion["distance_m"])
    np.testing.assert_allclose(steps, (speed[1:] + speed[:-1]) / 2 * STEP_S, atol=1e-9)
    np.testing.assert_allclose(np.cumsum(motion["accel_x_mps2"][:-1]) * STEP_S, speed[1:], atol=0.05)
    turned = -(motion["heading_deg"] - motion["heading_deg"][0])
    np.testing.assert_allclose(np.cumsum(motion["yaw_rate_dps"][:-1]) * STEP_S, turned[1:], atol=0.05)
    np.testing.assert_allclose(motion["accel_y_mps2"], speed * np.radians(motion["yaw_rate_dps"]), atol=1e-9)
    outer_minus_inner = (motion["wheel_rr_kmh"] - motion["wheel_rl_kmh"]) / 3.6
    np.testing.assert_allclose(outer_minus_inner, 1.55 * np.radians(motion["yaw_rate_dps"]), atol=0.15)


def test_cars_stop_at_red_lights_and_wait():
    motion = simulate(0, LAP_S)
    moments = {event: at for at, event in motion.events}
    at = moments["green light"]
    assert motion.at("speed_kmh", np.array([round((at - 3) * 1e9)]))[0] == 0.0
    assert motion.at("brake_bar", np.array([round((at - 3) * 1e9)]))[0] > 5.0


def test_long_drives_go_on_lap_after_lap():
    motion = simulate(0, 3.5 * LAP_S)
    stops = np.array([LAP_S, 2 * LAP_S, 3 * LAP_S]) * 1e9
    np.testing.assert_array_equal(motion.at("speed_kmh", stops.astype(np.int64)), 0.0)
    assert sum(event == "parked" for _, event in motion.events) == 3


@pytest.mark.parametrize("name", ["gear", "speed_kmh"])
def test_states_hold_and_quantities_are_interpolated(name):
    motion = simulate(0, 30.0)
    times = np.arange(0, 30_000_000_000, 777_777, dtype=np.int64)
    values = motion.at(name, times)
    if name == "gear":
        assert set(values) <= set(motion.signals["gear"])
        assert values.dtype == np.int64
    else:
        assert np.abs(np.diff(values)).max() < 0.1
