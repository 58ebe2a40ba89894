"""What the program imports to start: only what the command needs. Each command runs in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cli import Commands
from cli.lazy_group import load_command
from watchlist.store import Store

HEAVY = "torch", "ray", "faiss", "cv2", "av", "scipy", "fastapi", "supervision", "trackers", "onnxruntime", "mediapipe", "sympy"


def imported_by(*words: object) -> set[str]:
    """Top-level packages that are imported when the program has run this command."""
    program = "import json, sys\nfrom cli import main\nsys.argv[0] = 'farsight'\ntry:\n    main()\nexcept SystemExit as end:\n"
    program += "    assert not end.code, end.code\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    command = [sys.executable, "-c", program, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [("--version",), ("--help",), ("watchlist", "--help"), ("watchlist", "add", "--help")])
def test_version_and_help_load_no_numeric_library(words: tuple[str, ...]) -> None:
    assert not imported_by(*words) & {*HEAVY, "numpy", "yaml", "structlog"}


def test_listing_the_watchlist_loads_no_network_and_no_engine(tmp_path: Path) -> None:
    store = Store(tmp_path / "farsight.db")
    store.add_identity("Ada")
    store.close()
    assert not imported_by("watchlist", "list", "--db", tmp_path) & set(HEAVY)


@pytest.mark.parametrize("name", Commands.lazy)
def test_the_line_of_help_is_the_one_of_the_command_itself(name: str) -> None:
    target, line = Commands.lazy[name]
    command = load_command(name, target)
    assert command.name == name
    assert " ".join((command.help or "").split("\n\n")[0].split()) == line


def results_of(start: str) -> str:
    """What the networks answer on fixed pixels in a fresh process, and whether torch has its shape rules for tracing."""
    program = f"""import hashlib, sys
import numpy as np
{start}
from models import load_detector, load_recognizer, load_superres
rng = np.random.default_rng(0)
faces = load_detector(None, "cpu", 0.02).detect([rng.integers(0, 256, (96, 128, 3), np.uint8)])[0]
chips = rng.integers(0, 256, (2, 32, 32, 3), np.uint8)
answers = faces.boxes, faces.scores, load_recognizer(None, "cpu").embed(chips), load_superres(None, "cpu").upscale(chips)
whole = hasattr(sys.modules["torch._meta_registrations"], "register_meta")
print(whole, hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in answers)).hexdigest())"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_networks_answer_the_same_when_torch_starts_without_what_tracing_needs() -> None:
    whole, light = results_of(""), results_of("from cli.torch_start import omit_tracing; omit_tracing()")
    assert whole.startswith("True ") and light.startswith("False ")
    assert whole.removeprefix("True ") == light.removeprefix("False ")


def test_a_program_that_uses_the_package_keeps_a_whole_torch() -> None:
    """Only the command line's own process leaves it out: programs may compile networks of their own."""
    assert results_of("import farsight, cli").startswith("True ")


def test_a_recording_without_faces_loads_no_tracking_library() -> None:
    program = """import sys
import numpy as np
from models.faces import Faces
from stages.records import DetectedFrame, Frame
from stages.track import Track
track = Track()
track.open()
track.process([DetectedFrame(Frame("cam", k, k / 5, np.zeros((48, 64, 3), np.uint8)), Faces.empty()) for k in range(3)])
track.flush()
print(sorted({"supervision", "trackers", "scipy"} & set(sys.modules)))"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]", done.stderr
