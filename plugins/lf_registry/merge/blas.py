"""torch's own matrix product, called without importing torch.

``import torch`` takes longer than copying a model of some gigabytes. What a merge needs of it is one function: the
``sgemm`` of the MKL that is built into torch's library for x86. Only that one gives the bits that PEFT's merge gives.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np

Product = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


@lru_cache(maxsize=1)
def matrix_product() -> Product | None:
    """The function ``product(b, a, out)``: ``out = b @ a`` with b [m, k], a [k, n], out [m, n], all fp32, C order.

    It computes in the calling thread, once that has called ``one_thread``.

    Returns:
        None where torch's library has no MKL (other processors, macOS, own builds): import torch there.
    """
    library = _library()
    if library is None:
        return None
    sgemm = library.sgemm_  # BLAS: every argument by reference, matrices in Fortran order
    sgemm.restype = None
    sgemm.argtypes = [ctypes.c_char_p] * 2 + [ctypes.c_void_p] * 11
    one, zero = ctypes.c_float(1), ctypes.c_float(0)

    def product(b: np.ndarray, a: np.ndarray, out: np.ndarray) -> None:
        # A matrix in C order is its transpose in Fortran order, and out.T = a.T @ b.T: torch asks for just that.
        (m, k), n = b.shape, a.shape[1]
        sizes = [ctypes.c_int(size) for size in (n, m, k)]
        wide, deep = ctypes.c_int(max(1, n)), ctypes.c_int(max(1, k))
        sgemm(
            b"n", b"n", *map(ctypes.byref, sizes), ctypes.byref(one), a.ctypes.data, ctypes.byref(wide),
            b.ctypes.data, ctypes.byref(deep), ctypes.byref(zero), out.ctypes.data, ctypes.byref(wide),
        )  # fmt: skip

    return product


def one_thread() -> None:
    """Let the calling thread compute alone from now on: MKL's own threads would fight for the same cores."""
    library = _library()
    if library is not None:
        library.MKL_Set_Num_Threads_Local(1)


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL | None:
    spec = importlib.util.find_spec("torch")
    for folder in (spec and spec.submodule_search_locations) or ():
        try:
            library = ctypes.CDLL(str(Path(folder, "lib", "libtorch_cpu.so")))
        except OSError:
            continue
        if hasattr(library, "sgemm_") and hasattr(library, "MKL_Set_Num_Threads_Local"):
            return library
    return None
