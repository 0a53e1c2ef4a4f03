"""Two of torch's operations, called without importing torch: the matrix product, and the copy that converts.

``import torch`` takes longer than copying a model of some gigabytes, and nearly all of that is Python. torch's library
has an interface in C, whose functions do not change because compiled models call them. The bits are torch's, because
the code is.

Source: torch/csrc/inductor/aoti_torch/c/shim.h and generated/c_shim_cpu.h, which come with torch.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # only then, because the library is best loaded while NumPy is imported
    import numpy as np

_NAMES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
_FUNCTIONS = (
    "create_tensor_from_blob",
    "delete_tensor_object",
    "device_type_cpu",
    "cpu_mm_out",
    "copy_",
    *(f"dtype_{name}" for name in _NAMES.values()),
)
#: Values of an operation that torch may spread over threads: twice its grain (aten/src/ATen/TensorIterator.h).
_LARGE = 65_536
_ONCE = threading.Lock()


class View:
    """An array as a tensor of torch, in the same memory.

    Args:
        array: any shape; of ``uint16`` for the types that NumPy does not have.
        dtype: the safetensors name of its type.

    Attributes:
        array: the same.
    """

    def __init__(self, array: np.ndarray, dtype: str = "F32") -> None:
        self.array, self._handle = array, ctypes.c_void_p()
        self._delete = _function("delete_tensor_object")  # held: at Python's end, modules go before objects
        sizes = ctypes.c_int64 * array.ndim
        strides = (stride // array.itemsize for stride in array.strides)
        kind, cpu = _constant(f"dtype_{_NAMES[dtype]}"), _constant("device_type_cpu")
        address, place = ctypes.c_void_p(array.ctypes.data), ctypes.c_int64(0)
        _call(
            "create_tensor_from_blob", address, ctypes.c_int64(array.ndim), sizes(*array.shape), sizes(*strides),
            place, ctypes.c_int32(kind), ctypes.c_int32(cpu), ctypes.c_int32(0), ctypes.byref(self._handle),
        )  # fmt: skip

    def __del__(self) -> None:
        if self._handle:
            self._delete(self._handle)


def product(b: View, a: View, out: View) -> None:
    """``torch.mm(b, a, out=out)``, with b [m, k], a [k, n] and out [m, n] in fp32."""
    _call("cpu_mm_out", out._handle, b._handle, a._handle)


def convert(source: View, out: View) -> None:
    """``out.copy_(source)``: of the same shape, rounded to the type of ``out``."""
    _call("copy_", out._handle, source._handle, ctypes.c_int32(0))


def available() -> bool:
    """Whether torch's library and the functions above are there; where not, import torch."""
    return _library() is not None


def load_early() -> None:
    """Begin to load the library, while this thread does something else: it takes a quarter of a second."""
    threading.Thread(target=_library, daemon=True).start()


def one_thread() -> None:
    """Let the calling thread compute alone from now on: torch's own threads would fight for the same cores."""
    import numpy as np

    library = _library()
    if hasattr(library, "MKL_Set_Num_Threads_Local"):
        library.MKL_Set_Num_Threads_Local(1)
    # A thread's first large operation takes over the number that MKL or the environment says, and so forgets ours.
    convert(View(np.zeros(_LARGE, np.float32)), View(np.zeros(_LARGE, np.uint16), "BF16"))
    if hasattr(library, "omp_set_num_threads"):
        library.omp_set_num_threads(1)


def _call(name: str, *arguments: object) -> None:
    if _function(name)(*arguments):
        raise RuntimeError(f"torch's {name} failed; what it says is above")


@lru_cache
def _function(name: str) -> Any:
    return getattr(_library(), f"aoti_torch_{name}")


@lru_cache
def _constant(name: str) -> int:
    return int(_function(name)())


def _library() -> ctypes.CDLL | None:
    with _ONCE:
        return _load()


@lru_cache(maxsize=1)
def _load() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    try:
        spec = importlib.util.find_spec("torch")
    except ValueError:  # something that is not torch has its name
        return None
    for folder in (spec and spec.submodule_search_locations) or ():
        handle = _dlopen(os.fsencode(Path(folder, "lib", "libtorch_cpu.so")))
        library = ctypes.CDLL("libtorch_cpu.so", handle=handle) if handle else None
        if library and all(hasattr(library, f"aoti_torch_{name}") for name in _FUNCTIONS):
            return library
    return None


def _dlopen(path: bytes) -> int | None:
    """Load a library while other threads of Python run; ``ctypes.CDLL`` would make them wait."""
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.restype, dlopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_int]
    return dlopen(path, os.RTLD_NOW)  # type: ignore[no-any-return]
