"""Run a kernel twice, as plain Python on arrays that refuse every index outside and compiled between guard bytes, and compare."""

import importlib.util

import numba
import numba.extending
import numpy as np
import pytest

from intdash_frames.codecs import kernels

MARGIN = 64
FILLS = (0x00, 0xAA)


class Outside(Exception):
    """An index that numba would have followed out of the array."""


class Strict:
    """An array that refuses any index outside of it, negative ones too."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def _inside(self, index):
        for i, size in zip(index if isinstance(index, tuple) else (index,), self.array.shape, strict=True):
            if not isinstance(i, slice) and not 0 <= i < size:
                raise Outside(f"{index} of {self.array.shape}")
        return index

    def __getitem__(self, index):
        return np.int64(self.array[self._inside(index)])  # numba computes with int64, whatever the array holds

    def __setitem__(self, index, value):
        self.array[self._inside(index)] = value

    def word(self, at):
        """Eight bytes, which may be written."""
        if not 0 <= at <= len(self.array) - 8:
            raise Outside(f"word at {at} of {self.array.shape}")
        return self.array[at : at + 8]


class Fenced:
    """A copy of an array with guard bytes before and behind it."""

    def __init__(self, array, fill):
        self.fill = fill
        self.whole = np.full(array.nbytes + 2 * MARGIN, fill, np.uint8)
        self.array = self.whole[MARGIN : MARGIN + array.nbytes].view(array.dtype).reshape(array.shape)
        self.array[...] = array
        self.array.setflags(write=array.flags.writeable)

    def check(self):
        """Fail if a guard byte has changed."""
        size = self.array.nbytes
        assert (np.concatenate([self.whole[:MARGIN], self.whole[MARGIN + size :]]) == self.fill).all(), "written outside"


def _load_plain():
    """The module of the kernels once more, with nothing compiled."""
    spec = importlib.util.spec_from_file_location("plain_kernels", kernels.__file__)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba, "njit", lambda **_: lambda function: function)
        patch.setattr(numba.extending, "intrinsic", lambda function: function)
        spec.loader.exec_module(module)

    def eight(array, at):
        if isinstance(array, np.ndarray):  # working memory that a kernel made for itself
            assert 0 <= at <= len(array) - 8
            return array[at : at + 8]
        return array.word(at)

    def put_word(array, at, value):
        eight(array, at)[:] = np.frombuffer(int(value).to_bytes(8, "little", signed=True), np.uint8)

    def copied_block(source, start, size, out, at):
        if size > module.BLOCK or start + module.BLOCK > len(source) or at + module.BLOCK > len(out):
            return False
        for i in range(0, module.BLOCK, 8):
            put_word(out, at + i, module._word(source, start + i))
        return True

    module._byte = lambda array, at: np.int64(array[at])
    module._word = lambda array, at: np.int64(int.from_bytes(eight(array, at).tobytes(), "little", signed=True))
    module._put_word = put_word
    module._copied_block = copied_block
    return module


PLAIN = _load_plain()


def run(name, *arguments):
    """Call a kernel both ways.

    Arguments are numbers, arrays and the state of an `Interner`. The results must be equal, whatever the guard bytes are. What
    the kernel writes is copied into the arrays that were given.
    """
    arrays = []
    for argument in arguments:
        arrays += argument if isinstance(argument, tuple) else [argument] if isinstance(argument, np.ndarray) else []

    def call(module, replaced):
        left = iter(replaced)
        swapped = [
            tuple(next(left) for _ in argument)
            if isinstance(argument, tuple)
            else next(left)
            if isinstance(argument, np.ndarray)
            else argument
            for argument in arguments
        ]
        return getattr(module, name)(*swapped)

    strict = [Strict(array.copy()) for array in arrays]
    with np.errstate(over="ignore"):
        expected = call(PLAIN, strict)
    for fill in FILLS:
        fenced = [Fenced(array, fill) for array in arrays]
        assert call(kernels, [fence.array for fence in fenced]) == expected
        for fence, other in zip(fenced, strict, strict=True):
            fence.check()
            assert fence.array.tobytes() == other.array.tobytes()
    for array, other in zip(arrays, strict, strict=True):
        if array.flags.writeable:
            array[...] = other.array
    return expected


def wire(data):
    """Bytes as the readers see them: an array that cannot be written."""
    return np.frombuffer(bytes(data), np.uint8)
