"""A Ray of our own is private; a cluster that cannot work is refused in one line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.engine import Job
from pipeline.errors import SettingsError
from pipeline.protocol import SourceSpec
from pipeline.ray.cluster import Cluster, _lacks, require_shared
from pipeline.ray.environment import ray
from pipeline.settings import GroupSettings
from tests.running import ROOT

# One after the other: a test looks for what others have left.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("cluster")]


def test_only_one_module_imports_ray() -> None:
    """Whoever imports ray first decides on which interface it listens."""
    importing = set()
    rooms = [path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".") and path.name != "out"]
    for path in [file for room in rooms for file in room.rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] == "ray" for name in names):
                importing.add(path.name)
    assert importing <= {"ray_environment.py", "environment.py"} and len(importing) == 1


def test_a_ray_of_our_own_is_private_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback only; token and logs out of others' reach."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", "/tmp")
    cluster = Cluster()
    folder = cluster._folder
    assert folder is not None
    try:
        assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
        assert folder.stat().st_mode & 0o777 == 0o700
        assert list(folder.rglob("raylet.out"))
        token = ray.get(ray.remote(lambda: __import__("os").environ["RAY_AUTH_TOKEN"]).remote())
        saved = Path.home() / ".ray" / "auth_token"
        assert not saved.exists() or saved.read_text() != token
    finally:
        cluster.close()
    assert not ray.is_initialized() and not folder.exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "no cluster to join there"),
        ("127.0.0.1:99999", "no cluster to join there"),
        ("ray://10.0.0.1:10001", "Ray Client is not supported"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, address: str, said: str) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(SettingsError, match=said) as caught:
        Cluster()
    assert "\n" not in str(caught.value)


def test_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**keywords: object) -> None:
        raise Exception("Node timed out\nThis could happen")

    fake = SimpleNamespace(init=init, shutdown=lambda: None, is_initialized=lambda: False)
    monkeypatch.setattr("pipeline.ray.cluster.ray", fake)
    with pytest.raises(SettingsError, match=r"did not start \(Node timed out\); recordings need none"):
        Cluster()


def test_a_ray_that_others_can_reach_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []
    fake = SimpleNamespace(
        init=lambda **keywords: None,
        nodes=lambda: [{"NodeManagerAddress": "10.0.0.7"}],
        shutdown=lambda: ended.append(True),
        is_initialized=lambda: False,
    )
    monkeypatch.setattr("pipeline.ray.cluster.ray", fake)
    with pytest.raises(SettingsError, match=r"listens on 10\.0\.0\.7"):
        Cluster()
    assert ended


class Machines:
    """In the place of Ray: a cluster of this machine and another, on which a probe finds ``answer``."""

    def __init__(self, answer: str) -> None:
        self._answer = answer

    def nodes(self) -> list[dict[str, object]]:
        return [{"NodeID": f"{n}" * 56, "Alive": True, "NodeManagerAddress": f"10.0.0.{n}"} for n in (1, 2)]

    def get_runtime_context(self) -> SimpleNamespace:
        return SimpleNamespace(get_node_id=lambda: "1" * 56)

    def remote(self, function: object) -> SimpleNamespace:
        return SimpleNamespace(options=lambda **keywords: SimpleNamespace(remote=lambda *given: given))

    def get(self, asked: tuple, timeout: float) -> str:
        assert asked[1].is_file()  # the other machine is asked for a file that was just written here
        return self._answer


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    (tmp_path / "a.mp4").write_bytes(b"video")
    group = GroupSettings.model_validate({"name": "a", "source": {"use": "tests.fakes.Numbers"}})
    yield Job([group], [SourceSpec("a", str(tmp_path / "a.mp4"))], {"out": tmp_path}, None, 1e9)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_cluster_whose_machines_do_not_share_the_folder_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.ray.cluster.ray", Machines("the output folder /out"))
    with pytest.raises(SettingsError, match=r"machine 10\.0\.0\.2 of the cluster lacks the output folder /out; share it"):
        require_shared(job)
    monkeypatch.setattr("pipeline.ray.cluster.ray", Machines(""))
    require_shared(job)


def test_what_another_machine_lacks_is_named(tmp_path: Path) -> None:
    from pipeline import __version__
    from pipeline.checkpoints import file_stamp

    clip, proof = tmp_path / "a.mp4", tmp_path / "proof"
    clip.write_bytes(b"video")
    proof.write_text("word")
    files = {str(clip): file_stamp(str(clip))}
    assert _lacks(__version__, proof, "word", files) == ""
    assert _lacks("0.0", proof, "word", files) == f"Farsight 0.0, it has {__version__}"
    assert _lacks(__version__, proof, "other", files) == f"the output folder {tmp_path}"  # a folder of the same name
    clip.write_bytes(b"another")
    assert _lacks(__version__, proof, "word", files) == str(clip)
