"""Runs started from the console: one `farsight run` process at a time, which writes into the console's output folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request

from console.context import Console, console_of
from console.problems import Problem, not_found
from pipeline.errors import redact, redact_url
from pipeline.folder_lock import lock_owner
from pipeline.monitoring.status_file import read_status
from watchlist.names import display_path, printable

FOLDER = "console-runs"
UPLOADS = "uploads"
LOG_TAIL = 20_000  # bytes at the end of a log that are shown
CONFIGS = ("recording", "gpu", "demo")
VIDEO_SUFFIXES = (
    ".mp4",
    ".mkv",
    ".avi",
    ".mov",
    ".m4v",
    ".ts",
    ".webm",
    ".mpg",
    ".mpeg",
    ".flv",
    ".wmv",
    ".h264",
    ".hevc",
    ".dav",
)


@dataclass
class Run:
    """A run that was started from the console.

    Attributes:
        token: id of the run in addresses.
        user: name of the user who started it.
        options: of `farsight run`, without ``--watchlist``, ``--out`` and ``--resume``.
        started: Unix time.
        state: ``running``, ``finished``, ``incomplete``, ``failed``, ``stopped``, or ``unknown`` (the server was restarted).
        code: exit code; None while it runs.
        ended: Unix time; None while it runs.
        resumes: token of the run that this one resumes; empty: none.
        process: process id.
    """

    token: str
    user: str
    options: list[str]
    started: float
    state: str = "running"
    code: int | None = None
    ended: float | None = None
    resumes: str = ""
    process: int | None = None


class Runs:
    """Starts, stops and lists runs. ``console-runs`` of the output folder holds a log and a JSON file for each."""

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._current: Run | None = None

    @property
    def folder(self) -> Path:
        return self._console.out / FOLDER

    def list(self) -> list[Run]:
        """The newest 200 runs that were started from the console, newest first."""
        found = []
        for path in sorted(self.folder.glob("*.json"), reverse=True)[:200]:
            with suppress(OSError, ValueError, TypeError):
                run = Run(**json.loads(path.read_text()))
                if run.state == "running" and (self._current is None or run.token != self._current.token):
                    run.state = "unknown"
                found.append(run)
        return found

    def find(self, token: str) -> Run:
        """Find a run by its token. Raises Problem 404."""
        for run in self.list():
            if run.token == token:
                return run
        raise not_found("no such run")

    def log(self, run: Run) -> str:
        """The last `LOG_TAIL` bytes of a run's log as whole lines, without passwords."""
        try:
            with (self.folder / f"{run.token}.log").open("rb") as file:
                start = file.seek(max(0, file.seek(0, 2) - LOG_TAIL))
                text = file.read().decode("utf-8", "replace")
            if start:  # drop the first, partial line: `redact` would miss a password in half an address
                text = text.partition("\n")[2]
            return printable(redact(text))
        except OSError:
            return ""

    def progress(self) -> dict[str, Any]:
        """Progress of the run in this folder, whoever started it.

        Returns:
            The content of ``status.json``, plus ``share``: mean fraction read of the sources with a known duration, 0 to 1; None
            if there is no such source.
        """
        status = read_status(self._console.out)
        sources = [source for source in status.get("sources", []) if isinstance(source, dict)]
        shares = [
            min(1.0, float(source["position_s"]) / float(source["duration_s"]))
            for source in sources
            if isinstance(source.get("duration_s"), (int, float)) and source["duration_s"] > 0
        ]
        return status | {"share": sum(shares) / len(shares) if shares else None}

    def busy(self) -> dict[str, Any] | None:
        """The process that holds the lock of the output folder (``command``, ``pid``); None if no process holds it."""
        owner = lock_owner(self._console.out)
        if owner is None:
            return None
        try:
            os.kill(owner["pid"], 0)
        except (ProcessLookupError, OverflowError):
            return None
        except PermissionError:
            pass
        return owner

    def start(self, user: str, source: str, fpir: float, config: str, begin: str, video: bool, resumes: str = "") -> Run:
        """Start a run.

        Args:
            user: name for the audit log.
            source: file, folder or URL that this server can read.
            fpir: false alarms allowed per passer-by.
            config: one of `CONFIGS`.
            begin: time at which the recording began, such as ``2026-11-30T17:00:00``; empty: unknown.
            video: draw the annotated video.
            resumes: token of the run that this one resumes.

        Raises:
            Problem: 409 if this server cannot start runs or the output folder is in use, 422 for an unknown source or config.
        """
        if "://" not in source and not _exists(source):
            raise Problem(422, "No such source", f"{redact_url(source)[:200]}: no such file or folder on this server")
        if config not in CONFIGS:
            raise Problem(422, "Not allowed", f"settings {config[:40]}: must be one of {', '.join(CONFIGS)}")
        options = [f"--source={source}", f"--fpir={fpir!r}"]
        if config != "recording":
            options.append(f"--config={Path(__file__).parents[1] / 'configs' / f'{config}.yaml'}")
        if begin:
            options.append(f"--start={begin}")
        if not video:
            options.append("--no-video")
        return self._launch(user, options, resumes)

    def resume(self, user: str, token: str) -> Run:
        """Start a run again with the same options; finished files are skipped. Raises Problem 404 or 409."""
        return self._launch(user, self.find(token).options, token)

    def stop(self, user: str, token: str) -> None:
        """Stop a run with SIGTERM, which ends it like Ctrl-C. Raises Problem 409 if it is not running."""
        with self._lock:
            if self._process is None or self._current is None or self._current.token != token or self._process.poll() is not None:
                raise Problem(409, "Not running", "the run has ended already")
            self._process.send_signal(signal.SIGTERM)
            self._current.state = "stopped"
            self._keep(self._current)
        with self._console.writer(user) as store:
            store.log_audit("run stopped", run=token)

    def upload(self, user: str, name: str, content: BinaryIO) -> Path:
        """Store an uploaded recording in ``uploads`` of the output folder.

        Args:
            user: name for the audit log.
            name: file name; a number is appended if it is taken.
            content: the recording.

        Returns:
            Path of the stored file.

        Raises:
            Problem: 422 if the name is not that of a video.
        """
        plain = display_path(Path(name.replace("\\", "/")).name)
        if not plain or plain.startswith(".") or Path(plain).suffix.lower() not in VIDEO_SUFFIXES:
            raise Problem(422, "Not a recording", f"{plain[:80] or 'the file'}: must be one of {', '.join(VIDEO_SUFFIXES)}")
        folder = self._console.out / UPLOADS
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / plain
        for number in range(1, 1000):
            if not path.exists():
                break
            path = folder / f"{Path(plain).stem}-{number}{Path(plain).suffix}"
        try:
            with path.open("xb") as file:
                while block := content.read(1 << 20):
                    file.write(block)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        with self._console.writer(user) as store:
            store.log_audit("recording uploaded", bytes=path.stat().st_size)
        return path

    def _launch(self, user: str, options: Sequence[str], resumes: str) -> Run:
        console = self._console
        if not console.command:
            raise Problem(409, "Nothing can be started", "this server was not started by `farsight serve`")
        with self._lock:
            if (owner := self.busy()) is not None:
                raise Problem(
                    409,
                    "The folder is in use",
                    f"`{owner.get('command', 'farsight')}` writes into it; stop it, or wait until it ends",
                )
            origin = console.reader().copied_from()
            watchlist = origin if origin and Path(origin).is_file() else str(console.database)
            token = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(2).hex()}"
            run = Run(token, user, list(options), time.time(), resumes=resumes)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            command = [*console.command, "run", *options, f"--watchlist={watchlist}", f"--out={console.out}", "--resume"]
            with open(self.folder / f"{token}.log", "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            run.process, self._current = self._process.pid, run
            self._keep(run)
            threading.Thread(target=self._watch, args=(run, self._process), daemon=True).start()
        with console.writer(user) as store:
            store.log_audit("run started", run=token)
        return run

    def _watch(self, run: Run, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        with self._lock:
            run.code, run.ended = code, time.time()
            if run.state != "stopped":
                run.state = {0: "finished", 4: "incomplete"}.get(code, "failed")
            self._keep(run)

    def _keep(self, run: Run) -> None:
        found = {key: value for key, value in asdict(run).items() if not key.startswith("_")}
        part = self.folder / f".{run.token}.part"
        part.write_text(json.dumps(found))
        part.replace(self.folder / f"{run.token}.json")


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):  # a path that is too long or holds a null byte, or ~ of an unknown user
        return False


def runs_of(request: Request) -> Runs:
    """The `Runs` of the running application."""
    found: Runs | None = getattr(request.app.state, "runs", None)
    if found is None:
        found = request.app.state.runs = Runs(console_of(request))
    return found
