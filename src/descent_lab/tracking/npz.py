"""Writes .npz files in a third of the time that np.savez takes, and reads them in a tenth of the time of np.load.

They are uncompressed ZIP files of arrays: for each member a local header, its name and its content; then the central
directory, which says again where each member lies; then the end record (APPNOTE 6.3, sections 4.3.7, 4.3.12 and
4.3.16). np.load reads what is written here, and what is read here may have been written by np.savez.
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from struct import Struct, error, pack
from typing import Any
from zlib import crc32

import numpy as np
from numpy.lib import format as npy

MOST_BYTES = 2**31  # of arrays, below the limit of ZIP without its 64-bit extension
UTF8 = 1 << 11  # the flag of names in UTF-8
VERSION = 20  # of the format, 2.0
DATE = 0x21  # 1980-01-01, the first that ZIP knows, so that equal arrays make equal files
MEMBER, DIRECTORY_MARK = Struct("<I4xHHHHIIIHHHHHII"), 0x02014B50  # of the central directory, before the name
LOCAL = Struct("<26xHH")  # the end of a local header: the lengths of the name, and of what follows it
END, END_MARK = Struct("<4xHHHHII"), b"PK\x05\x06"
START, NPY_1_0 = Struct("<8sH"), b"\x93NUMPY\x01\x00"  # of a .npy file: its format, the length of its header
HEADER = re.compile(rb"\{'descr': '([<>|][biufcU]\d+)', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n")


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


def read(path: Path, keys: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a file by name, all or those of these keys.

    Checksums are compared. Files that were written in another way, compressed for example, are left to np.load. Raises
    an exception of np.load, which is of one of many kinds, for a file that is damaged or cannot be read.
    """
    try:
        return _unzipped(path.read_bytes(), keys)
    except (_Unusual, error, ValueError):
        with path.open("rb") as opened, np.load(opened) as file:  # np.load leaves some damaged files open
            return {key: file[key] for key in file.files if keys is None or key in keys}


class _Unusual(Exception):
    """A file that was written in another way."""


def _unzipped(content: bytes, keys: Collection[str] | None) -> dict[str, np.ndarray]:
    at = content.rfind(END_MARK)
    if at < 0:
        raise _Unusual
    *_, n_members, _, at = END.unpack_from(content, at)
    arrays = {}
    for _ in range(n_members):
        mark, _, method, _, _, checksum, size, _, n_name, *lengths, _, _, _, start = MEMBER.unpack_from(content, at)
        at += MEMBER.size
        name = content[at : at + n_name].decode()
        at += n_name + sum(lengths)
        if mark != DIRECTORY_MARK or method or not name.endswith(".npy"):
            raise _Unusual
        key = name.removesuffix(".npy")
        if keys is None or key in keys:
            start += LOCAL.size + sum(LOCAL.unpack_from(content, start))
            arrays[key] = _array(memoryview(content)[start : start + size], checksum)
    return arrays


def _array(content: memoryview, checksum: int) -> np.ndarray:
    """The array of a .npy file."""
    start, n_header = START.unpack_from(content)
    offset = START.size + n_header
    if start != NPY_1_0 or crc32(content) != checksum:
        raise _Unusual
    dtype, shape = _described(bytes(content[START.size : offset]))
    return np.frombuffer(content, dtype, offset=offset).reshape(shape).copy()


@lru_cache(maxsize=1024)
def _described(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """The type and the shape of an array, as the header of its .npy file says. Raises _Unusual for other headers."""
    facts = HEADER.fullmatch(header)
    if facts is None:
        raise _Unusual
    dtype, sizes = facts.groups()
    return np.dtype(dtype.decode()), tuple(int(size) for size in sizes.split(b",") if size.strip())
