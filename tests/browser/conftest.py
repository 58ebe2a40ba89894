"""A real browser before a real `serve` over the synthetic corridor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.demo_data import PASSWORD, ROOT, fill, run_demo
from tests.servers import free_port

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
WIDTHS = (390, 1440)
Opener = Callable[..., Any]
SLOW_MS = 60_000  # a busy machine


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo's output folder, made once; ``FARSIGHT_DEMO`` names one that is there already."""
    if given := os.environ.get("FARSIGHT_DEMO"):
        return Path(given)
    out = tmp_path_factory.mktemp("demo") / "out"
    run_demo(out)
    return out


@pytest.fixture(scope="session")
def console_out(demo_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the demo, filled with sightings of several days."""
    out = tmp_path_factory.mktemp("console") / "out"
    shutil.copytree(demo_run, out)
    fill(out)
    return out


@pytest.fixture(scope="session")
def console_url(console_out: Path) -> Iterator[str]:
    """The address of `serve` over that folder."""
    out = console_out
    port = free_port()
    command = [sys.executable, str(ROOT / "run_pipeline.py"), "serve", "--db", str(out), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                httpx.get(f"{url}/healthz", timeout=2)
                break
            except httpx.HTTPError:
                assert process.poll() is None, "serve has ended"
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip(f"{CHROMIUM}: no such browser; apt-get install chromium, or name one in CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, console_url: str) -> Iterator[Opener]:
    """Opens a page of the console, signed in as a role; at the end no page may have told an error on its console."""
    contexts, faults = [], []

    def open_page(path: str, role: str | None = "admin", width: int = 1440, dark: bool = False, refusals: bool = False) -> Any:
        def told(text: str) -> None:
            if not (refusals and "the server responded with a status of 4" in text):  # what the test asks for
                faults.append(f"{page.url}: {text}")

        context = browser.new_context(
            viewport={"width": width, "height": 844 if width < 600 else 900},
            color_scheme="dark" if dark else "light",
            base_url=console_url,
            has_touch=width < 600,
        )
        context.set_default_timeout(SLOW_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: told(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: told(str(error)))
        if role is not None:
            form = {"name": role, "password": PASSWORD}
            answer = context.request.post("/login", form=form, max_redirects=0)
            assert answer.status == 303, answer.text()
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.fixture(scope="session")
def people_photos(demo_run: Path) -> dict[str, list[Path]]:
    """The demo's enrolled photos, by name."""
    folder = demo_run / "clip" / "people"
    return {path.name: sorted(path.iterdir()) for path in sorted(folder.iterdir()) if path.is_dir()}


@pytest.fixture(scope="session")
def two_faces(people_photos: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of two people side by side."""
    from PIL import Image

    pictures = [Image.open(people_photos[name][0]).convert("RGB").resize((400, 400)) for name in ("Ada", "Emil")]
    both = Image.new("RGB", (800, 400))
    for number, picture in enumerate(pictures):
        both.paste(picture, (400 * number, 0))
    path = tmp_path_factory.mktemp("photos") / "both.png"
    both.save(path)
    return path
