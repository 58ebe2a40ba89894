"""Download third-party weights by name into the user's model folder.

    path = fetch("yunet")                    # downloads, checks the SHA-256 digest, and returns the file's path
    detector = load_detector("yunet.onnx")   # a downloaded file is found by its name

Nothing is downloaded unless `fetch` is called.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_S = 30.0  # timeout of connecting and of each read
LIBFACEDETECTION = (
    "https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx"
)


class DownloadError(Exception):
    """The download failed at every address. The message gives the reasons and the path for a manual download."""


@dataclass(frozen=True)
class Download:
    """A weight file that can be downloaded.

    Attributes:
        file: file name in the user's folder.
        sha256: digest of its content, in hexadecimal.
        size: length in bytes.
        licence: SPDX identifier.
        about: short description.
        addresses: URLs, the official one first; each is tried if the one before it fails.
    """

    file: str
    sha256: str
    size: int
    licence: str
    about: str
    addresses: tuple[str, ...]


# Digests: Git LFS pointer of opencv_zoo (models/face_detection_yunet, 2023mar), and the files in the history of the authors'
# repository, whose yunet_s_640_640.onnx is byte for byte the Zoo's file.
DOWNLOADS = {
    "yunet": Download(
        "yunet.onnx",
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        232589,
        "MIT",
        "YuNet 2023mar of the OpenCV Zoo",
        (
            "https://huggingface.co/opencv/face_detection_yunet/resolve/3cc26e7f1014a5ee5d74a42acee58bafc9d0a310/"
            "face_detection_yunet_2023mar.onnx",
            "https://github.com/opencv/opencv_zoo/raw/966be4cb6eefc2a4f586ed0581bf4bbaa2533070/models/face_detection_yunet/"
            "face_detection_yunet_2023mar.onnx",
            f"{LIBFACEDETECTION}/yunet_s_640_640.onnx",
        ),
    ),
    "yunet-n": Download(
        "yunet-n.onnx",
        "104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        322906,
        "Apache-2.0",
        "the larger YuNet of its authors",
        (f"{LIBFACEDETECTION}/yunet_n_dynamic.onnx",),
    ),
}


def user_folder() -> Path:
    """The folder of downloaded weights: $FARSIGHT_MODELS, else farsight/models in the user's data folder."""
    named = os.environ.get("FARSIGHT_MODELS")
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share") / "farsight" / "models"


def find_downloaded(name: str | Path) -> Path | None:
    """The downloaded file of that name, without a folder, such as ``yunet.onnx``; None if there is none."""
    if Path(name).name != str(name):
        return None
    try:
        path = user_folder() / name
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # no home folder, or an invalid file name
        return None


def missing_hint(name: str | Path) -> str:
    """Hint for a missing weight file: the download command, or that the path is wrong."""
    for key, download in DOWNLOADS.items():
        if str(name) == download.file:
            return f"download it with: farsight models fetch {key}"
    return "check the path"


def is_complete(path: Path, download: Download) -> bool:
    """Whether the file exists and has the right content. Raises OSError if it cannot be read."""
    return path.is_file() and path.stat().st_size == download.size and _digest(path.read_bytes()) == download.sha256


def fetch(name: str, folder: Path | None = None, addresses: Sequence[str] = ()) -> Path:
    """Download a weight file, unless it exists already.

    The digest is checked before the file gets its final name, so a wrong file is never loaded.

    Args:
        name: a key of `DOWNLOADS`.
        folder: target folder; None: `user_folder`.
        addresses: URLs to use instead of the official ones, such as a mirror.

    Returns:
        The path of the file.

    Raises:
        DownloadError: the download failed at every address.
        OSError: the folder cannot be written.
    """
    download = DOWNLOADS[name]
    path = (folder or user_folder()) / download.file
    if is_complete(path, download):
        return path
    addresses = addresses or download.addresses
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for address in addresses:
        try:
            content = _read(address, download)
        except DownloadError as error:
            failures.append(f"{urlsplit(address).hostname or address}: {error}")
            continue
        _write(path, content)
        return path
    raise DownloadError(
        f"{name} could not be downloaded ({'; '.join(failures)}); get {addresses[0]} on another machine and save it as {path}"
    )


def _read(address: str, download: Download) -> bytes:
    """Read and check the content. Raises DownloadError."""
    import httpx

    content = bytearray()
    try:
        with httpx.stream("GET", address, follow_redirects=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code != 200:
                raise DownloadError(f"status {answer.status_code}")
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > download.size:
                    raise DownloadError(f"more than the file's {download.size} bytes")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise DownloadError(" ".join(str(error).split()) or type(error).__name__) from None
    if _digest(content) != download.sha256:
        raise DownloadError(f"another content ({len(content)} of {download.size} bytes, SHA-256 {_digest(content)[:12]}...)")
    return bytes(content)


def _write(path: Path, content: bytes) -> None:
    """Write the file under a temporary name, then rename it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _digest(content: bytes | bytearray) -> str:
    return hashlib.sha256(content).hexdigest()
