"""Take the pictures of ``docs/console.md``: ``python -m tests.browser.screenshots --demo OUT``. Nobody in them exists."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser.demo_data import PASSWORD, ROOT, fill, run_demo
from tests.servers import free_port

PLACE = ROOT / "docs" / "console"
TRACK = "/track?source=corridor&track=000000.13-0000"
DESK = {
    "sightings": "/sightings",
    "track": "",
    "review": "/review?queue=open",
    "people": "/people",
    "person": "/people/1",
    "search": "/search?identity=1",
    "unknowns": "/unknowns",
    "cameras": "/cameras",
    "runs": "/runs",
    "case": "/cases/1",
    "settings": "/settings",
    "users": "/users",
}
PHONE = ("sightings", "track", "review", "person", "search", "unknowns", "cameras", "runs", "case", "settings")
DARK = {("sightings", 390), ("review", 1440), ("cameras", 390)}


def prepare(out: Path) -> None:
    """What the pages need to show: a case, grouping, a review, two cameras with a picture."""
    from watchlist.feed import FeedFilter
    from watchlist.store import Store

    store = Store(out / "farsight.db")
    store.user = "ann"
    store.set_preferences({"unknowns": True, "retention": {"no_match": 2, "not_assessable": 1, "match": None, "pictures": None}})
    matches = [(row["source"], row["track"]) for row in store.feed(FeedFilter(outcome="match"), 6)]
    number = store.add_case("Theft of the synthetic bicycle", "Two people in the corridor, on two days.")
    store.add_to_case(number, matches[:4])
    store.set_track_note(number, *matches[0], "the red coat")
    store.put_review(*matches[-1], "confirmed", "same ears")
    refused = [("from-behind.jpg", "no_face"), ("small.jpg", "too_small: the face is 19 pixels wide, 24 are needed")]
    store.put_refusals(1, refused)
    store.close()
    config = out / "live.yaml"
    config.write_text(
        "cameras:\n  - {name: gate, url: 'rtsp://u:p@192.0.2.10/s1'}\n  - {name: yard-east, url: 'rtsp://u:p@192.0.2.11/s1'}\n"
    )
    counts = {"frames_searched": 48_211, "dropped_for_newer": 1_204, "reconnects": 2}
    sources = [
        {
            "name": "gate",
            "url": "rtsp://***@192.0.2.10/s1",
            "state": "streaming",
            "per_s": 8.9,
            "delay_s": 0.31,
            "counts": counts,
        },
        {
            "name": "yard-east",
            "url": "rtsp://***@192.0.2.11/s1",
            "state": "backing off",
            "reason": "reconnecting: no frame for 8 s",
        },
    ]
    import os

    status = {
        "at": time.time(),
        "pid": os.getpid(),
        "running": True,
        "command": "live",
        "config": str(config),
        "sources": sources,
    }
    (out / "status.json").write_text(json.dumps(status))
    _still(out)


def _still(out: Path) -> None:
    import av

    with av.open(str(out / "annotated" / "corridor.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 80:
                (out / "stills").mkdir(exist_ok=True)
                frame.to_image().resize((640, 360)).save(out / "stills" / "gate.jpg", quality=80)
                return


def take(page: Any, name: str) -> None:
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    wide = 1200 if picture.width > 600 else picture.width
    picture = picture.resize((wide, round(picture.height * wide / picture.width)), Image.Resampling.LANCZOS)
    picture.save(PLACE / f"{name}.webp", quality=78, method=6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, help="output folder of a demo; none: run one")
    parser.add_argument("--only", default="", help="names, with commas")
    args = parser.parse_args()
    PLACE.mkdir(parents=True, exist_ok=True)
    only = set(filter(None, args.only.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        if args.demo is None:
            run_demo(out)
        else:
            shutil.copytree(args.demo, out)
        fill(out)
        prepare(out)
        port = free_port()
        command = [sys.executable, str(ROOT / "run_pipeline.py"), "serve", "--db", str(out), "--port", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                httpx.get(f"{url}/healthz")
                break
            except httpx.HTTPError:
                time.sleep(0.5)
        try:
            photograph(url, out, only)
        finally:
            server.terminate()
            server.wait(20)


def photograph(url: str, out: Path, only: set[str]) -> None:
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for width, names in ((1440, (*DESK, "login", "enrol")), (390, PHONE)):
            for theme in ("light", "dark"):
                wanted = [name for name in names if ((name, width) in DARK) == (theme == "dark") and (not only or name in only)]
                if not wanted:
                    continue
                viewport = {"width": width, "height": 900 if width > 600 else 844}
                context = browser.new_context(viewport=viewport, color_scheme=theme, base_url=url)
                context.set_default_timeout(90_000)
                page = context.new_page()
                if "login" in wanted:
                    page.goto("/login")
                    take(page, "login")
                context.request.post("/login", form={"name": "admin", "password": PASSWORD}, max_redirects=0)
                for name in wanted:
                    if name in DESK:
                        if name == "cameras":
                            _still(out)
                        page.goto(DESK[name] or TRACK)
                    elif name == "enrol":
                        page.goto("/people/add")
                        page.get_by_label("Drop photos").set_input_files(str(_two_faces(out)))
                        page.wait_for_selector("[data-chooser] rect")
                        page.locator("rect[data-face='2']").click()
                        page.locator("#chosen").scroll_into_view_if_needed()
                    else:
                        continue
                    page.wait_for_timeout(2500)
                    take(page, name if width > 600 else f"{name}-phone")
                context.close()
        browser.close()


def _two_faces(out: Path) -> Path:
    both = Image.new("RGB", (800, 400))
    for number, name in enumerate(("Chen", "Emil")):
        photo = next((out / "clip" / "people" / name).iterdir())
        both.paste(Image.open(photo).convert("RGB").resize((400, 400)), (400 * number, 0))
    path = out / "both.png"
    both.save(path)
    return path


if __name__ == "__main__":
    main()
