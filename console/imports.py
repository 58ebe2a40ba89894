"""Background import of many people from a zip, or from a CSV with its photos. Every photo gets a verdict."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from fastapi import Request

from console.photo_desk import PhotoDesk, desk_of
from console.problems import Problem, not_found
from watchlist.names import display_path

if TYPE_CHECKING:
    from watchlist.enrolment import Verdict
    from watchlist.photo_list import PhotoList

MAX_FILES = 20_000
MAX_BYTES = 2_000_000_000  # unpacked size of all files together
MAX_DIRECTORY_BYTES = 500 * MAX_FILES  # size of a zip's central directory, which `zipfile` reads into memory
MAX_JOBS = 20  # results that are stored; the oldest are dropped first


@dataclass
class ImportJob:
    """State of an import.

    Attributes:
        token: id of the import in addresses.
        owner: name of the user who started it.
        total: number of photos to judge.
        verdicts: of the photos judged so far.
        left_out: file and reason of each file that is not a usable photo.
        warnings: about the list, one line each.
        fault: why the import ended early; empty: it did not.
        ended: whether it has ended.
    """

    token: str
    owner: str
    total: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    fault: str = ""
    ended: bool = False

    @property
    def enrolled(self) -> int:
        return sum(not verdict.reason for verdict in self.verdicts)


class Imports:
    """Runs imports, one at a time.

    Args:
        desk: enrols the photos.
    """

    def __init__(self, desk: PhotoDesk) -> None:
        self._desk, self._jobs, self._lock = desk, dict[str, ImportJob](), threading.Lock()

    def begin(self, owner: str, files: Sequence[tuple[str, BinaryIO]], allow_lookalike: bool) -> ImportJob:
        """Unpack the files, and start a thread that enrols their people.

        Args:
            owner: name of the user.
            files: name and content of each file: one zip, or one CSV with the photos that it names.
            allow_lookalike: also enrol people who look like somebody on the list.

        Raises:
            Problem: 409 if another import is running, 413 if the files are too large, 422 if they are not a list of people.
        """
        from watchlist.photo_list import read_photo_list
        from watchlist.photos import PhotoError

        if not files:
            raise Problem(422, "No file", "choose a zip, or a CSV with its photos")
        with self._lock:
            if any(not job.ended for job in self._jobs.values()):
                raise Problem(409, "An import is running", "wait until it has ended")
            job = ImportJob(secrets.token_urlsafe(12), owner)
            self._jobs[job.token] = job
            for token in list(self._jobs)[:-MAX_JOBS]:
                del self._jobs[token]
        folder = Path(tempfile.mkdtemp(prefix="farsight-import-"))
        try:
            listing = read_photo_list(_unpacked(files, folder))
        except (PhotoError, zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
            self._end(job, folder)
            raise Problem(422, "Nothing to import", str(error).replace(f"{folder}/", "") or "the file is damaged") from None
        except BaseException:
            self._end(job, folder)
            raise
        _only_inside(listing, folder)
        job.total, job.warnings = len(listing.entries), listing.warnings
        job.left_out = [(path.replace(f"{folder}/", ""), why) for path, why in listing.skipped]
        threading.Thread(target=self._run, args=(job, listing, folder, allow_lookalike), daemon=True).start()
        return job

    def job(self, owner: str, token: str) -> ImportJob:
        """Find an import that ``owner`` has started. Raises Problem 404."""
        found = self._jobs.get(token)
        if found is None or found.owner != owner:
            raise not_found("no such import; the server may have been restarted since")
        return found

    def _run(self, job: ImportJob, listing: PhotoList, folder: Path, allow_lookalike: bool) -> None:
        try:
            self._desk.enrol(job.owner, listing.entries, allow_lookalike, job.verdicts.append)
        except Problem as problem:
            job.fault = str(problem)
        except Exception as error:  # the user who waits sees any error
            job.fault = f"{type(error).__name__}: {error}"
        finally:
            self._end(job, folder)

    @staticmethod
    def _end(job: ImportJob, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        job.ended = True


def imports_of(request: Request) -> Imports:
    """The imports of the running application."""
    found: Imports | None = getattr(request.app.state, "imports", None)
    if found is None:
        found = request.app.state.imports = Imports(desk_of(request))
    return found


def _unpacked(files: Sequence[tuple[str, BinaryIO]], folder: Path) -> Path:
    """Write the files into a folder. Returns the list of people: a CSV, or a folder ``NAME/*.jpg``. Raises Problem."""
    if len(files) == 1 and files[0][0].lower().endswith(".zip"):
        _unzip(files[0][1], folder)
    else:
        total = 0
        for name, content in files:
            path = folder / _plain_name(name)
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
            total += path.stat().st_size
            if total > MAX_BYTES:
                raise Problem(413, "Too large", f"the files have more than {MAX_BYTES // 1_000_000} MB; import them in parts")
    lists = sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".csv" and "__macosx" not in str(path).lower())
    if len(lists) > 1:
        raise Problem(422, "Several lists", f"{', '.join(path.name for path in lists[:5])}: import one CSV at a time")
    if lists:
        return lists[0]
    if len(files) > 1 or not files[0][0].lower().endswith(".zip"):
        raise Problem(422, "No list", "choose a zip with a folder for each person, or a CSV with the photos that it names")
    inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__"))]
    only = inside[0] if len(inside) == 1 and inside[0].is_dir() else None
    wrapped = only is not None and any(path.is_dir() for path in only.iterdir())
    return only if wrapped and only is not None else folder


def _plain_name(name: str) -> str:
    plain = display_path(Path(name.replace("\\", "/")).name)
    if not plain or plain.startswith("."):
        raise Problem(422, "Not a file name", f"{plain or 'a file'}: has a name that cannot be used; rename it")
    return plain


def _unzip(content: BinaryIO, folder: Path) -> None:
    """Unpack a zip. Paths that lead out of the folder and zips that are too large are refused; links become plain files."""
    _check_directory(content)
    with zipfile.ZipFile(content) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > MAX_FILES:
            raise Problem(413, "Too many files", f"the zip holds {len(members)}, at most {MAX_FILES}; import it in parts")
        left = MAX_BYTES
        for member in members:
            parts = PurePosixPath(member.filename.replace("\\", "/")).parts
            if not parts or member.filename.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in member.filename:
                raise Problem(422, "Not a safe zip", f"{display_path(member.filename)[:100]}: leads out of the zip; zip it again")
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as packed, path.open("xb") as file:
                while block := packed.read(1 << 20):
                    left -= len(block)
                    if left < 0:
                        raise Problem(
                            413, "Too large", f"the zip unpacks to more than {MAX_BYTES // 1_000_000} MB; import it in parts"
                        )
                    file.write(block)


def _check_directory(content: BinaryIO) -> None:
    """Refuse a zip whose central directory is too large to be read into memory. Raises Problem 413."""
    end = zipfile._EndRecData(content)  # type: ignore[attr-defined]  # the parser of `ZipFile`, so that both see the same record
    if end and end[zipfile._ECD_SIZE] > MAX_DIRECTORY_BYTES:  # type: ignore[attr-defined]
        raise Problem(413, "Too many files", f"the zip lists more than {MAX_FILES} files; import it in parts")


def _only_inside(listing: PhotoList, folder: Path) -> None:
    """Leave out photos that were not uploaded: a CSV must not make the server read its own files."""
    root = folder.resolve()
    inside = []
    for entry in listing.entries:
        if not entry.photo.resolve().is_relative_to(root):
            listing.skipped.append((display_path(entry.photo.name), "is not among the uploaded files"))
        elif not entry.photo.exists():  # checked here, because the enrolment gate would take minutes for thousands of them
            why = f"{entry.name}: is not among the uploaded files"
            listing.skipped.append((display_path(entry.photo.relative_to(folder)), why))
        else:
            inside.append(entry)
    listing.entries = inside
