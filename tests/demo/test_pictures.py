import io

import pytest
from PIL import Image

from intdash_frames.demo.pictures import dashboard


@pytest.mark.parametrize("speed_kmh", [0.0, 88.8, 500.0])
def test_pictures_are_whole_jpeg_files_and_always_the_same(speed_kmh):
    files = [dashboard(speed_kmh=speed_kmh, engine_rpm=2000.0, gear=3, elapsed_s=1.5) for _ in range(2)]
    assert files[0] == files[1]
    with Image.open(io.BytesIO(files[0])) as picture:
        picture.load()
        assert (picture.format, picture.size) == ("JPEG", (320, 180))
        darkest, brightest = picture.convert("L").getextrema()
        assert darkest < 30
        assert brightest > 200


def test_another_speed_gives_another_picture():
    slow, fast = (dashboard(speed_kmh=speed, engine_rpm=2000.0, gear=3, elapsed_s=1.5) for speed in (10.0, 100.0))
    assert slow != fast
