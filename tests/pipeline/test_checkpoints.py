"""Checkpoints travel with their output folder: what is read of them is data, and only of this version and these settings."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest

from pipeline.checkpoint_format import DTYPES, pack, unpack
from pipeline.checkpoints import Checkpoint, Checkpoints, pack_report, pack_state, unpack_state
from pipeline.engine import Job
from pipeline.errors import SettingsError
from pipeline.inline import InlineEngine
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.settings import GroupSettings
from tests.running import ROOT


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def test_plain_data_and_arrays_come_back_as_they_were() -> None:
    arrays = [np.arange(6).reshape(2, 3).astype(dtype) for dtype in sorted(DTYPES)]
    value = {
        "a": [1, -2.5, float("-inf"), None, True, "ö", b"\x00"],
        "b": {3: (1, 2)},
        "c": arrays,
        "d": np.zeros((0, 5), np.float32),
    }
    assert same(value, unpack(pack(value)))
    back = unpack(pack(np.zeros(3, np.float32)))
    back[0] = 1  # stages write into what they hold
    assert same(unpack(pack(np.eye(4, dtype=np.float32)[:, ::2])), np.eye(4, dtype=np.float32)[:, ::2])  # one with gaps


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), np.array(["a"]), np.float32(1), np.zeros(1, complex)])
def test_nothing_else_can_be_put_into_a_checkpoint(value: object) -> None:
    with pytest.raises(TypeError, match="checkpoint cannot hold"):
        pack(value)


def array(*head: object, code: int = 1) -> bytes:
    return bytes(msgpack.packb(msgpack.ExtType(code, bytes(msgpack.packb(list(head))))))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        pickle.dumps({0: [1, 2]}),  # what checkpoints were once
        b"cos\nsystem\n(S'true'\ntR.",
        array("object", [1], b"\x00" * 8),  # an array of pointers
        array("O", [1], b"\x00" * 8),
        array([("f0", "O")], [1], b"\x00" * 8),
        array("float32", [2**40], b"\x00" * 8),  # larger than what is there
        array("float32", [-1], b"\x00" * 8),  # which NumPy would take for "as many as there are"
        array("float32", [True], b"\x00" * 4),
        array("float32", [1] * 9, b"\x00" * 4),
        array("uint8", [4], "text"),
        array("uint8", [4]),
        array("uint8", [4], b"abcd", code=2),
        b"\xc7\x0c\xff" + b"\xff" * 12,  # a time that is none
        pack([1, 2])[:-1],
        pack([1, 2]) + b"\x00",
        b"\x91" * 5000 + b"\x00",  # nested without end
        b"\x91" * 40 + b"\x00",
        b"\xdd\xff\xff\xff\xff",  # a list of four billion, none of which is there
        b"\xc6\xff\xff\xff\xff",
    ],
)
def test_foreign_bytes_are_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(SettingsError, match="checkpoint") as caught:
        unpack_state(content, "x")
    assert "\n" not in str(caught.value)


def test_bytes_changed_at_any_place_build_nothing_and_end_in_no_traceback() -> None:
    whole = pack_state({"track": {"seen": np.arange(12, dtype=np.float32), "names": ["a", None, 3.5]}}, "x")
    dice = np.random.default_rng(7)
    for _ in range(3000):
        changed = bytearray(whole)
        for place in dice.integers(0, len(whole), dice.integers(1, 4)):
            changed[place] = dice.integers(0, 256)
        try:
            held = unpack_state(bytes(changed), "x")
        except SettingsError:
            continue
        assert isinstance(held, dict)


def test_other_versions_and_settings_are_told_apart() -> None:
    state = pack_state({"sums": 3}, "these")
    assert unpack_state(state, "these") == {"sums": 3}
    with pytest.raises(SettingsError, match="made with other settings"):
        unpack_state(state, "those")
    with pytest.raises(SettingsError, match="another version"):
        unpack_state(pack({"version": 99, "made_by": "these", "stages": {}}), "these")


def test_the_report_of_a_finished_source_is_checked_as_well() -> None:
    report = SourceReport("a", "a.mp4", position_s=3.0)
    done = Checkpoint("a.mp4", 3.0, True, pack_report(report, "these"))
    assert done.report() == report
    done.require("these")
    with pytest.raises(SettingsError, match="made with other settings"):
        done.require("those")
    for held in (b"{", b"[]", json.dumps({"name": "a", "colour": 3}).encode(), b"\xff"):
        with pytest.raises(SettingsError, match="cannot be read"):
            Checkpoint("a.mp4", 3.0, True, held).require("these")


def group(**keywords: object) -> list[GroupSettings]:
    reading = {"name": "read", "source": {"use": "tests.fakes.Numbers", **keywords}, "stages": [{"use": "tests.fakes.Sums"}]}
    return [GroupSettings.model_validate(reading)]


@pytest.mark.parametrize(
    ("column", "value"),
    [("state", 20_000_000_000), ("state", "text"), ("pts_s", "x"), ("pts_s", float("inf")), ("done", "maybe"), ("url", b"\xff")],
)
def test_a_row_of_another_kind_is_refused_in_one_line(tmp_path: Path, column: str, value: object) -> None:
    checkpoints = Checkpoints(tmp_path / "farsight.db")
    checkpoints.save("gate", "gate.mp4", 1.0, True, pack_report(SourceReport("gate", "gate.mp4"), "x"))
    checkpoints._db.execute(f"UPDATE checkpoints SET {column} = ?", (value,))
    with pytest.raises(SettingsError, match="damaged"):
        checkpoints.load("gate")


@pytest.mark.parametrize(
    "held",
    [
        {"file": 5},
        {"file": "a b"},
        {"status": 9},
        {"position_s": float("inf")},
        {"duration_s": "long"},
        {"started_at": [1]},
        {"counts": {"frames_decoded": "many"}},
        {"choices": 3},
    ],
)
def test_a_finished_report_of_other_kinds_of_values_is_refused_in_one_line(tmp_path: Path, held: dict[str, Any]) -> None:
    url = tmp_path / "gate.mp4"
    url.write_bytes(b"x")
    state = json.dumps({"name": "gate", "url": str(url)} | held).encode()
    for ask in (Checkpoint.report, lambda c: c.require("x"), lambda c: c.has_grown(str(url)), lambda c: c.has_shrunk(str(url))):
        with pytest.raises(SettingsError, match="cannot be read"):
            ask(Checkpoint(str(url), 0.0, True, state))
    with pytest.raises(SettingsError, match="cannot be read"):
        Checkpoint(str(url), 0.0, True, b"[" * 200_000).report()


def test_settings_that_change_nothing_found_may_change() -> None:
    def settings_digest(groups: list[GroupSettings], **context: object) -> str:
        return Job(groups, [], context, None, 1.0).settings_digest

    base = settings_digest(group(), out=Path("a"), fpir=0.1)
    assert base == settings_digest(group(), out=Path("b"), fpir=0.2, device="cuda")  # where, at which rate, on what
    assert base == settings_digest(group(pause_s=0.0))  # the default, written out
    assert base == settings_digest([group()[0].model_copy(update={"replicas": 2, "queue": 3})])  # how the work is spread
    assert base != settings_digest(group(pause_s=0.1))
    assert base != settings_digest(group(), pause_s=0.1)  # told to all stages


def test_a_run_with_other_settings_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    def run(groups: list[GroupSettings]) -> None:
        job = Job(groups, [SourceSpec("a", "9")], {"out": tmp_path}, tmp_path / "c.db", 0.0, resume=True)
        InlineEngine().run(job, lambda status: None)

    store = Checkpoints(tmp_path / "c.db")
    settings_digest = Job(group(), [], {"out": tmp_path}, None, 0.0).settings_digest
    store.save("a", "9", 4.0, False, pack_state({"sums": 10}, settings_digest))
    with pytest.raises(SettingsError, match="other settings"):
        run(group(pause_s=0.001))
    run(group())


def test_nothing_but_a_test_unpickles() -> None:
    """Pickles that are read are programs; weights are safetensors, checkpoints plain data."""
    names = [
        path for room in ("pipeline", "stages", "models", "watchlist", "console", "cli") for path in (ROOT / room).rglob("*.py")
    ]
    for path in names:
        text = path.read_text()
        for word in (
            "import pickle",
            "from pickle",
            "import shelve",
            "import marshal",
            "import dill",
            "torch.load(",
            "allow_pickle",
        ):
            assert word not in text, f"{path}: {word}"
