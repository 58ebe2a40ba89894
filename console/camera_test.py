"""Test a camera: connect once, and report frame size, frame rate and one frame.

The test is a separate process, because a camera may never answer. It reads the address from standard input, so that the password
does not appear in the list of processes, and prints one line of JSON.
"""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from typing import Any

from pipeline.errors import redact

LIMIT_S = 15.0
SCHEMES = ("rtsp://", "rtsps://", "http://", "https://", "/dev/videoN")
ADDRESS = re.compile(r"(rtsps?|https?)://\S+|/dev/video\d{1,4}", re.IGNORECASE)


def try_camera(url: str, transport: str = "tcp", limit_s: float = LIMIT_S) -> dict[str, Any]:
    """Connect to a camera in a separate process.

    Args:
        url: address, with credentials.
        transport: of RTSP, ``tcp`` or ``udp``.
        limit_s: seconds until the test is given up.

    Returns:
        ``ok`` (bool). If True: ``width`` and ``height`` in pixels, ``fps``, and ``picture`` (base64 JPEG, at most 640 pixels on
        its longer side). If False: ``why``, without credentials.
    """
    if not ADDRESS.fullmatch(url):
        return {"ok": False, "why": f"an address of a camera begins with {', '.join(SCHEMES)}"}
    job = json.dumps({"url": url, "transport": transport})
    command = [sys.executable, "-m", "console.camera_test"]
    try:
        done = subprocess.run(command, input=job, capture_output=True, text=True, timeout=limit_s)
        found = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return {"ok": False, "why": f"no picture came within {limit_s:.0f} s; check address, network and password"}
    except (OSError, ValueError):
        return {"ok": False, "why": "the decoder crashed on this stream; try another stream of the camera"}
    return found if isinstance(found, dict) else {"ok": False, "why": "no answer"}


def main() -> None:
    """Run the test in this process: JSON ``url`` and ``transport`` on standard input, the result on standard output."""
    import av
    from PIL import Image

    job = json.loads(sys.stdin.read())
    options = {"rtsp_transport": job["transport"]} if job["url"].startswith("rtsp") else {}
    try:
        with av.open(job["url"], options=options, timeout=(8.0, 8.0)) as container:
            stream = container.streams.video[0]
            frame = next(container.decode(stream))
            image: Image.Image = frame.to_image()
            rate = float(stream.average_rate or 0.0)
    except (av.FFmpegError, OSError, IndexError, StopIteration, ValueError) as error:
        print(json.dumps({"ok": False, "why": redact(str(error) or type(error).__name__)}))
        return
    width, height = image.size
    image.thumbnail((640, 640))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    picture = base64.b64encode(buffer.getvalue()).decode()
    print(json.dumps({"ok": True, "width": width, "height": height, "fps": round(rate, 1), "picture": picture}))


if __name__ == "__main__":
    main()
