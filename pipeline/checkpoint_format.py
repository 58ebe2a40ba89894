"""The file format of a checkpoint: msgpack with plain data and arrays. Reading it cannot create any other object."""

from __future__ import annotations

from typing import Any

import msgpack
import numpy as np

ARRAY = 1  # msgpack's extension type for an array
DTYPES = frozenset({"uint8", "int32", "int64", "float16", "float32", "float64", "bool"})
MAX_DEPTH = 16
MAX_DIMENSIONS = 8


def pack(value: Any) -> bytes:
    """Pack plain data: None, bool, int, float, str, bytes, lists, tuples (unpacked as lists), dicts with str or int keys, and
    arrays of `DTYPES`. Raises TypeError for anything else."""
    return bytes(msgpack.packb(value, default=_pack_array, strict_types=False))


def unpack(content: bytes) -> Any:
    """Unpack what `pack` made. Raises ValueError for any other bytes."""
    try:
        value = msgpack.unpackb(content, ext_hook=_unpack_array, strict_map_key=False, raw=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    _require_shallow(value)
    return value


def _pack_array(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")
    if value.dtype.name not in DTYPES:
        raise TypeError(f"a checkpoint cannot hold an array of {value.dtype}")
    head = [value.dtype.name, list(value.shape), np.ascontiguousarray(value).tobytes()]
    return msgpack.ExtType(ARRAY, bytes(msgpack.packb(head)))


def _unpack_array(code: int, content: bytes) -> Any:
    if code != ARRAY:
        raise ValueError(f"unknown kind {code}")
    head = msgpack.unpackb(content)
    if not (isinstance(head, list) and len(head) == 3):
        raise ValueError("not an array")
    dtype, shape, values = head
    if dtype not in DTYPES or not isinstance(values, bytes) or not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS:
        raise ValueError("not an array of a known kind")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("not a shape")
    found = np.frombuffer(values, np.dtype(dtype)).reshape(shape)  # ValueError where they do not fit each other
    return found.copy()  # stages write into what they hold


def _require_shallow(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_shallow(each, depth + 1)
