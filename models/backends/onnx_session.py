"""Opens ONNX files with onnxruntime (extra `onnx`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from models.downloads import missing_hint


def open_session(path: Path, device: str) -> Any:
    """Open an onnxruntime session that uses as many threads as its actor may.

    Args:
        path: the ``.onnx`` file.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        ValueError: with the reason, if onnxruntime is not installed, the file cannot be read, or the GPU requested is missing.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(f"{path}: onnxruntime is not installed; run pip install '.[onnx]' in Farsight's folder") from None
    if not path.is_file():
        raise ValueError(f"{path}: no such file; {missing_hint(path)}")
    available = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in available:
        raise ValueError("device 'cuda' was asked for but onnxruntime has no GPU here; use 'cpu' or 'auto'")
    requested = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider", "CPUExecutionProvider"]
    options = onnxruntime.SessionOptions()
    threads = os.environ.get("OMP_NUM_THREADS", "")  # what an actor may use; onnxruntime does not look there
    options.intra_op_num_threads = int(threads) if threads.isdigit() else 0
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(
            str(path), options, providers=[provider for provider in requested if provider in available]
        )
    except Exception as error:  # onnxruntime raises its own hierarchy without a common public base
        raise ValueError(f"{path}: not a readable ONNX file ({str(error).splitlines()[0]})") from None
