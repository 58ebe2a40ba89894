"""The whole path on a synthetic clip: both engines, interruptions of every kind, live."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from synthetic.scoring import score
from tests.running import ROOT, command, comparable, farsight, lines, refused, watching
from tests.servers import Receiver, free_port, until
from watchlist.store import Store

pytestmark = pytest.mark.xdist_group("cluster")  # one after the other: a test looks for what others have left


def of_ray() -> dict[int, str]:
    """Ray's processes on this machine; those that have ended and that nobody has asked for yet (zombies) do not count."""
    found = (
        line.split(maxsplit=2) for line in subprocess.check_output(["ps", "-eo", "pid=,stat=,args="], text=True).splitlines()
    )
    ours = {int(pid): args for pid, stat, args in found if not stat.startswith("Z")}
    return {pid: args for pid, args in ours.items() if "raylet" in args or "gcs_server" in args or args.startswith("ray::")}


def leaves_nothing(before: dict[int, str], seconds: float = 40.0) -> None:
    """Fails if processes that were not there before have not ended in time: Ray's agents and workers end by themselves when they
    miss its daemon, which takes a while where the cores are busy."""
    end = time.monotonic() + seconds
    while (rest := {pid: args for pid, args in of_ray().items() if pid not in before}) and time.monotonic() < end:
        time.sleep(0.3)
    assert rest == {}


def test_the_enrolled_are_found_and_strangers_are_not(corridor: Path, inline: Path) -> None:
    truth = json.loads((corridor / "truth.json").read_text())["walkers"]
    found = score(truth, Store(inline / "farsight.db").tracks())
    assert found.found == 2 and found.false == 0
    assert all(w.tracks for w in found.walkers)


def test_everything_promised_is_there(inline: Path) -> None:
    assert {"farsight.db", "sightings.jsonl", "report.html", "run.json", "annotated", "crops"} <= {
        p.name for p in inline.iterdir()
    }
    assert (inline / "annotated" / "corridor.mp4").stat().st_size > 10_000
    summary = json.loads((inline / "run.json").read_text())
    assert summary["sources"][0]["status"] == "ok" and "corridor: detect_every" in summary["choices"]
    assert summary["groups"][0]["stages"]["detect"]["records_in"] > 20
    for line in lines(inline):
        assert line["best"]["crop"] is None or (inline / line["best"]["crop"]).is_file()
    report = (inline / "report.html").read_text()
    assert report.count('class="card" id=') == len(lines(inline))


def test_ray_gives_the_same_sightings_and_leaves_nothing_behind(corridor: Path, inline: Path, tmp_path: Path) -> None:
    before = of_ray()
    # From another folder than the repository's, as an installed tool is used.
    done = farsight(
        *watching(corridor, corridor / "people", tmp_path / "out"),
        "--no-video",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = (comparable(lines(p), 2) for p in (tmp_path / "out", inline))
    assert [(r["track"], r["outcome"], r["name"], r["shots"]) for r in ours] == [
        (r["track"], r["outcome"], r["name"], r["shots"]) for r in theirs
    ]
    assert all(abs((a["score"] or 0) - (b["score"] or 0)) < 0.03 for a, b in zip(ours, theirs, strict=True))
    leaves_nothing(before)


@pytest.mark.system
def test_killed_again_and_again_and_resumed_it_gives_the_same(corridor: Path, inline: Path, tmp_path: Path) -> None:
    settings = tmp_path / "often.yaml"
    settings.write_text(yaml.safe_dump({"base": str(ROOT / "configs" / "recording.yaml"), "checkpoint_every_s": 0.0}))
    store = Store(tmp_path / "people.db")  # enrolled once, so that every start is quick
    store.copy_watchlist(Store(inline / "farsight.db"))
    store.close()
    arguments = [
        *watching(corridor, tmp_path / "people.db", tmp_path / "out"),
        "--engine",
        "inline",
        "--no-video",
        "--config",
        settings,
    ]
    dice = random.Random(4)
    kills = 0
    for _ in range(4):
        process = subprocess.Popen(command(*arguments, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until and not (tmp_path / "out" / "sightings.jsonl").exists():
            time.sleep(0.05)
        try:
            process.wait(timeout=dice.uniform(0.3, 2.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
    done = farsight(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert kills >= 1
    assert comparable(lines(tmp_path / "out"), 2) == comparable(lines(inline), 2)


@pytest.mark.system
def test_interrupted_it_says_so_and_leaves_nothing_behind(corridor: Path, inline: Path, tmp_path: Path) -> None:
    before = of_ray()
    arguments = [
        *watching(corridor, inline, tmp_path / "out"),
        "--source",
        ROOT / "none.mp4",
        "--no-video",
    ]
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until = time.monotonic() + 60
    while not (tmp_path / "out" / "sightings.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C in a terminal does: to the whole group
    _, error = process.communicate(timeout=40)
    assert process.returncode in (130, 4)  # 4: it was done before the signal came
    assert "Traceback" not in error
    leaves_nothing(before)


# --- bad input: one line, the right exit code, no traceback


def test_the_watchlist_commands(corridor: Path, tmp_path: Path) -> None:
    database = tmp_path / "w.db"
    photos = sorted((corridor / "people").glob("*/photo.png"))
    done = farsight("watchlist", "add", "Zoe", photos[0], "--db", database, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)[0]["enrolled"]
    again = json.loads(farsight("watchlist", "import", corridor / "people", "--db", database, "--json").stdout)
    assert [v["reason"].partition(",")[0] for v in again] == ["looks_like: Zoe", ""]  # it is the same photo
    assert farsight("watchlist", "import", corridor / "people", "--db", database, "--anyway").returncode == 0
    listed = json.loads(farsight("watchlist", "list", "--db", database, "--json").stdout)
    assert [p["name"] for p in listed] == ["Zoe", *sorted((p.parent.name for p in photos), reverse=True)]
    assert farsight("watchlist", "remove", listed[0]["id"], "--db", database).returncode == 0
    refused(2, "nobody on the list has it", "watchlist", "remove", listed[0]["id"], "--db", database)
    refused(2, "no such database", "watchlist", "list", "--db", tmp_path / "none.db")
    (tmp_path / "wall.png").write_bytes((ROOT / "LICENSE").read_bytes())
    refused(2, "no usable photo", "watchlist", "add", "Wall", tmp_path / "wall.png", "--db", database)


def test_search_back_finds_the_walk_of_an_enrolled_person(corridor: Path, inline: Path) -> None:
    match = next(line for line in lines(inline) if line["outcome"] == "match")
    done = farsight("search", corridor / "people" / match["name"] / "photo.png", "--db", inline, "--json", "--top", 3)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found[0]["track"] == match["track"] and len(found) == 3
    assert set(found[0]) == {"source", "track", "start_s", "end_s", "score", "threshold", "fpir", "outcome", "crop"}
    assert found[0]["score"] > found[1]["score"] >= found[2]["score"]


def test_serve_refuses_a_port_in_use(inline: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused(2, "already in use", "serve", "--db", inline, "--port", taken.getsockname()[1])


def test_doctor_is_content() -> None:
    done = farsight("doctor")
    assert done.returncode == 0 and "weights fit their card" in done.stdout


@pytest.mark.system
def test_live_watches_a_camera_for_a_while(corridor: Path, people: Path, tmp_path: Path) -> None:
    settings = tmp_path / "live.yaml"
    cameras = [{"name": "gate", "url": str(corridor / "corridor.mp4")}]
    settings.write_text(
        yaml.safe_dump({"cameras": cameras, "watchlist": str(people), "out": str(tmp_path / "out"), "engine": "inline"})
    )
    done = farsight("live", "--config", settings, "--duration", 6)
    assert done.returncode == 0, done.stderr
    assert {line["source"] for line in lines(tmp_path / "out")} == {"gate"}


@pytest.mark.system
def test_live_follows_its_settings_tells_alerts_and_ends_orderly(corridor: Path, people: Path, tmp_path: Path) -> None:
    """As a service: two cameras one after the other, a receiver that comes late, metrics, a wrong file, a watchlist that
    changes, SIGTERM."""
    shutil.copy(people, tmp_path / "list.db")
    out, port, late = tmp_path / "out", free_port(), free_port()
    hook = f"http://joe:secret@127.0.0.1:{late}/alerts"

    def write(*names: str, **more: object) -> None:
        cameras = [{"name": name, "url": str(corridor / "corridor.mp4")} for name in names]
        alerts = {"webhook": hook, "webhook_secret": "${SIGNING}", "cooldown_s": 0}
        settings = {
            "cameras": cameras,
            "watchlist": str(tmp_path / "list.db"),
            "out": str(out),
            "metrics": {"port": port},
            "alerts": alerts,
            **more,
        }
        (tmp_path / "new.yaml").write_text(yaml.safe_dump(settings))
        (tmp_path / "new.yaml").rename(tmp_path / "live.yaml")

    def metrics() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    write("gate")
    with (tmp_path / "log").open("w") as log:
        service = subprocess.Popen(
            command("live", "--config", tmp_path / "live.yaml"),
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={**os.environ, "SIGNING": "hush-hush"},
        )
    try:
        until(lambda: (out / "alerts.jsonl").exists() and (out / "alerts.jsonl").stat().st_size, 60)
        write("gate", speed=3)  # a wrong file changes nothing
        until(lambda: "settings kept" in (tmp_path / "log").read_text())
        assert farsight("watchlist", "disable", 1, "--db", tmp_path / "list.db").returncode == 0
        until(lambda: Store(out / "farsight.db").identities()[0].set_aside, 5)  # and the next track is not compared with them
        write("gate", "yard")
        until(lambda: 'farsight_camera_state{camera="yard",state="streaming"} 1.0' in metrics(), 40)
        assert 'farsight_counted_total{group="match",what="delivered to file"}' in metrics()
        receiver = Receiver(late)
        until(lambda: receiver.got, 40)  # what was kept while nobody listened
        service.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert service.wait(timeout=30) == 0
        assert time.monotonic() - started < 10
    finally:
        service.kill()
    receiver.close()
    assert {"gate"} <= {alert["camera"] for alert in receiver.contents()} <= {"gate", "yard"}
    told = [json.loads(line) for line in (out / "alerts.jsonl").read_text().splitlines()]
    assert told[0]["key"] == receiver.contents()[0]["key"] and told[0]["kind"] == "match"
    seen = {line["track"] for line in lines(out)}
    assert {alert["track"] for alert in told} <= seen  # whatever was told of is in the sightings, finished
    everything = (tmp_path / "log").read_text() + (out / "run.json").read_text() + metrics()
    assert "secret" not in everything.replace("webhook_secret", "") and "hush-hush" not in everything
