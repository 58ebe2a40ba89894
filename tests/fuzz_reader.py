"""Reads damaged copies of recordings and tells how that ended; a process of its own, so that its memory and hangs can be told.

python -m tests.fuzz_reader FILE SEED COUNT      # a line of JSON for each copy
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from pipeline.errors import SourceError
from pipeline.protocol import SourceSpec
from stages.video.recording import Decode


def damaged(content: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """One of the things that happen to files, and the file after it."""
    kind = str(rng.choice(["cut short", "bits flipped", "block zeroed", "part missing", "head damaged", "rubbish appended"]))
    size, new = len(content), bytearray(content)
    if kind == "cut short":
        return kind, content[: int(rng.integers(1, size))]
    if kind == "bits flipped":
        for at in rng.integers(0, size, int(rng.integers(1, 60))):
            new[at] ^= 1 << int(rng.integers(8))
    elif kind == "block zeroed":
        at = int(rng.integers(0, size))
        new[at : at + 4096] = bytes(len(new[at : at + 4096]))
    elif kind == "part missing":
        first, last = sorted(int(v) for v in rng.integers(0, size, 2))
        return kind, content[:first] + content[last:]
    elif kind == "head damaged":
        for at in rng.integers(0, min(400, size), 12):
            new[at] = int(rng.integers(256))
    else:
        new += rng.integers(0, 256, 20_000, np.uint8).tobytes()
    return kind, bytes(new)


def outcome(path: Path) -> dict[str, object]:
    """How reading ended: status, frames, their times, what was told."""
    decode = Decode(detect_every=1)
    try:
        decode.start(SourceSpec("a", str(path)), None)
        times = [frame.pts_s for batch in iter(decode.read, None) for frame in batch]
    except SourceError as error:
        return {"status": "refused", "reason": str(error), "times": []}
    finally:
        decode.close()
    report = decode.report()
    return {"status": report.status, "reason": report.reason, "times": times, "counts": report.counts}


def main() -> None:
    source, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    content = source.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{source.suffix}"
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            kind, data = damaged(content, rng)
            path.write_bytes(data)
            began = time.monotonic()
            told = {"number": number, "kind": kind, "same": data == content} | outcome(path)
            peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
            print(json.dumps({**told, "took_s": time.monotonic() - began, "peak_kb": peak}), flush=True)


if __name__ == "__main__":
    main()
