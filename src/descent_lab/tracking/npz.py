"""Writes .npz files in a third of the time that np.savez takes: uncompressed ZIP files of arrays, which np.load reads.

A ZIP file: for each member a local header, its name and its content; then the central directory, which says again where
each member lies; then the end record (APPNOTE 6.3, sections 4.3.7, 4.3.12 and 4.3.16).
"""

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any
from zlib import crc32

import numpy as np
from numpy.lib import format as npy

MOST_BYTES = 2**31  # of arrays, below the limit of ZIP without its 64-bit extension
UTF8 = 1 << 11  # the flag of names in UTF-8
VERSION = 20  # of the format, 2.0
DATE = 0x21  # 1980-01-01, the first that ZIP knows, so that equal arrays make equal files


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name, as np.savez does."""
    if any(array.dtype.hasobject for array in arrays.values()) or sum(a.nbytes for a in arrays.values()) > MOST_BYTES:
        np.savez(path, **arrays)
    else:
        path.write_bytes(_zipped(arrays))


def _zipped(arrays: Mapping[str, np.ndarray]) -> bytes:
    members, directory, at = [], [], 0
    for name, array in arrays.items():
        content = _header(array.dtype.str, array.shape) + array.tobytes()
        encoded = f"{name}.npy".encode()
        size = len(content)
        facts = pack("<HHHHHLLLHH", VERSION, UTF8, 0, 0, DATE, crc32(content), size, size, len(encoded), 0)
        members += [b"PK\x03\x04", facts, encoded, content]
        directory += [b"PK\x01\x02", pack("<H", VERSION), facts, pack("<HHHLL", 0, 0, 0, 0, at), encoded]
        at += 4 + len(facts) + len(encoded) + size
    listed = b"".join(directory)
    end = b"PK\x05\x06" + pack("<HHHHLLH", 0, 0, len(arrays), len(arrays), len(listed), at, 0)
    return b"".join([*members, listed, end])


@lru_cache(maxsize=1024)
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The header of a .npy file of an array in C order."""
    file = BytesIO()
    facts: dict[str, Any] = {"descr": dtype, "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(file, facts)
    return file.getvalue()
