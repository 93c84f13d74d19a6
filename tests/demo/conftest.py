import pytest

from intdash_frames.demo.drive import drive


@pytest.fixture(scope="session")
def recorded():
    """Two minutes, as the demo records them, with few pictures."""
    return drive(seed=0, duration_s=120.0, pictures=2)


@pytest.fixture(scope="session")
def signals(recorded):
    return {recording.signal: recording for recording in recorded.recordings}
