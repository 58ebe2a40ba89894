"""The nine jobs of the console in a real browser, on a phone and on a desk, and what axe finds on every page."""

from __future__ import annotations

import re
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import WIDTHS, Opener
from tests.browser.demo_data import stored
from watchlist.feed import FeedFilter
from watchlist.store import Store

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
both_widths = pytest.mark.parametrize("width", WIDTHS)
PAGES = ("/sightings", "/review", "/people", "/people/1", "/people/add", "/search", "/unknowns", "/cameras", "/runs", "/cases")
PAGES += ("/settings", "/users", "/audit", "/account", "/login", "/no-such-page")


def serious(page: Any) -> list[str]:
    """What axe finds that keeps people from using a page."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:160]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"][:3]
    ]


@both_widths
@pytest.mark.parametrize("dark", [False, True])
def test_every_page_is_accessible_and_fits_the_screen(opened: Opener, width: int, dark: bool) -> None:
    page = opened("/sightings", width=width, dark=dark)
    faults = {}
    for path in PAGES[:-1]:
        page.goto(path)
        page.wait_for_load_state("load")
        if found := serious(page):
            faults[path] = found
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            faults[f"{path} is too wide"] = [str(wide)]
    assert not faults, faults


@both_widths
def test_sightings_are_filtered_and_a_track_shows_video_with_its_box(opened: Opener, width: int) -> None:
    page = opened("/sightings", "viewer", width)
    page.get_by_role("link", name="Matches", exact=True).click()
    page.wait_for_url(re.compile("outcome=match"))
    assert page.locator("article.sighting").count() >= 4 and not page.locator("article.sighting.no_match").count()
    page.get_by_text("Filter", exact=False).first.click()
    page.get_by_label("Person").fill("ada")
    page.get_by_label("Camera or recording").select_option("corridor")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("person=ada"))
    assert page.locator("article.sighting").count() == 1
    page.locator("article.sighting a").first.click()
    page.wait_for_selector("#over[data-box]:not([data-box=''])", state="attached")  # the box is drawn at that moment
    assert page.evaluate("document.getElementById('video').currentTime") > 1
    assert page.get_by_text("synthetic", exact=True).first.is_visible()
    page.wait_for_selector(".nearest li")
    assert page.locator(".nearest li").first.inner_text().startswith("Ada")
    assert page.locator(".shots img").count() == 5
    sizes = page.locator(".compare img").evaluate_all("all => all.map((one) => one.getBoundingClientRect().width)")
    assert max(sizes) - min(sizes) < 2  # compared at equal size


@both_widths
def test_the_feed_loads_older_sightings_on_scrolling_and_new_ones_by_itself(
    opened: Opener, width: int, console_out: Path
) -> None:
    store = Store(console_out / "farsight.db")
    known = store.find_tracks([("corridor", store.feed(FeedFilter(source="corridor"), 1)[0]["track"])])[0]
    old = [
        stored(known | {"source": "tape", "track": f"old-{n:03d}", "started_at": 1e9 + n, "ended_at": 1e9 + n}) for n in range(60)
    ]
    store.put_tracks(old)
    try:
        page = opened("/sightings", "viewer", width)
        page.wait_for_selector("#live .dot.on")
        assert page.locator("article.sighting").count() == 48
        images = page.locator("article.sighting img")
        assert images.count() == page.locator("article.sighting img[loading=lazy]").count()
        page.locator(".more").scroll_into_view_if_needed()
        page.wait_for_function("() => document.querySelectorAll('article.sighting').length > 48")
        page.evaluate("scrollTo(0, 0)")
        store.put_tracks([stored(known | {"source": "tape", "track": "new", "started_at": time.time(), "ended_at": time.time()})])
        page.wait_for_selector("#feed > :first-child[id='t-tape/new']")
    finally:
        store.delete_tracks([("tape", row["track"]) for row in old] + [("tape", "new")])
        store.close()


@both_widths
def test_review_by_keyboard_confirms_rejects_and_leaves_open(opened: Opener, width: int) -> None:
    page = opened("/review?queue=open", "reviewer", width)
    shown = lambda: page.locator("#panel [data-track]").get_attribute("data-track")  # noqa: E731
    first = shown()
    page.keyboard.press("j")
    page.wait_for_function("before => document.querySelector('#panel [data-track]').dataset.track !== before", arg=first)
    page.keyboard.press("k")
    page.wait_for_function("before => document.querySelector('#panel [data-track]').dataset.track === before", arg=first)
    page.keyboard.press("e")
    page.keyboard.type("the ears fit")
    page.keyboard.press("Escape")
    page.keyboard.press("y")
    page.wait_for_selector(f"#queue a[data-key='{first}']", state="detached")
    second = shown()
    page.keyboard.press("n")
    page.wait_for_selector(f"#queue a[data-key='{second}']", state="detached")
    page.goto("/review?queue=confirmed")
    page.locator(f"#queue a[data-key='{first}']").wait_for()
    page.goto(f"/review?queue=rejected&track={second}")
    assert "Was rejected as" in page.locator("#panel").inner_text()
    page.keyboard.press("u")  # taken back
    page.wait_for_selector(f"#queue a[data-key='{second}']", state="detached")
    page.goto(f"/review?queue=confirmed&track={first}")
    assert "the ears fit" in page.locator("#panel").inner_text() and "reviewer" in page.locator("#panel").inner_text()
    page.keyboard.press("u")
    page.wait_for_selector(f"#queue a[data-key='{first}']", state="detached")


@both_widths
def test_enrol_by_dropping_a_photo_with_two_faces_and_clicking_one(
    opened: Opener, width: int, two_faces: Path, people_photos: dict[str, list[Path]]
) -> None:
    page = opened("/people/add", "operator", width)
    page.get_by_label("Drop photos").set_input_files(str(two_faces))
    page.wait_for_selector("[data-chooser] rect[data-face='2']")
    page.locator("[data-chooser] rect[data-face='2']").click()
    assert page.locator("input[type=radio][value='2']").is_checked()
    page.get_by_label("Name", exact=True).fill(f"Zoë 🎈 {width}")
    page.get_by_label("Purpose").fill("browser test")
    page.get_by_label("Also enrol if the face looks like").check()
    page.get_by_role("button", name=re.compile("Enrol the chosen")).click()
    page.wait_for_url(re.compile(r"/people/\d+"))
    assert page.locator("h1").inner_text() == f"Zoë 🎈 {width}" and page.locator(".faces figure").count() == 1
    page.get_by_label("Name", exact=True).fill(f"Zoe <b> {width}")
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector(f"h1:has-text('Zoe <b> {width}')")
    page.get_by_role("button", name="Disable", exact=True).click()
    page.get_by_text("disabled").first.wait_for()
    page.get_by_role("button", name="Remove", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.wait_for_url(re.compile(r"/people\?done="))
    assert f"Zoe <b> {width}" not in page.locator("#people").inner_text()


@both_widths
def test_import_a_zip_with_a_verdict_for_every_photo(
    opened: Opener, width: int, tmp_path: Path, people_photos: dict[str, list[Path]]
) -> None:
    packed = tmp_path / "people.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(people_photos["Ada"][0], "Ada/again.png")
        archive.writestr("Ada/broken.jpg", b"no photo")
    page = opened("/people", "operator", width)
    page.get_by_role("button", name="Import").click()
    page.get_by_label("Drop files here").set_input_files(str(packed))
    page.get_by_role("dialog").get_by_role("button", name="Import").click()
    page.get_by_text("2 of 2 photos judged").wait_for()
    assert "cannot be read as a photo" in page.locator("table").inner_text()


@both_widths
def test_search_by_a_photo_ranks_past_tracks_and_leads_to_a_case(
    opened: Opener, width: int, people_photos: dict[str, list[Path]]
) -> None:
    page = opened("/search", "operator", width)
    page.get_by_label("Drop a photo here").set_input_files(str(people_photos["Ada"][0]))
    page.wait_for_selector("ol.feed article")
    best = page.locator("ol.feed article").first
    assert "Above the threshold" in best.inner_text() and "Ada" in best.inner_text()
    page.get_by_label("Camera or recording").select_option("gate")
    page.get_by_role("button", name="Search", exact=True).click()
    page.wait_for_url(re.compile("source=gate"))
    assert "corridor" not in page.locator("ol.feed").inner_text()
    assert page.get_by_role("link", name="Enrol this face").is_visible()
    page.get_by_label("choose", exact=True).first.check()
    page.get_by_label("Case for the chosen tracks").select_option(label="a new case")
    page.get_by_role("button", name="Add chosen to case").click()
    page.wait_for_url(re.compile(r"/cases/\d+"))
    page.get_by_label("Name", exact=True).fill(f"The corridor {width}")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_label(re.compile("Note on track")).fill("red coat")
    page.get_by_role("button", name="Save note").click()
    page.get_by_text("Note saved").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert {"case.json", "sha256sums.txt"} < set(archive.namelist())
    page.get_by_role("link", name="Page to print").click()
    page.get_by_text("red coat").wait_for()


@both_widths
def test_unknown_people_are_grouped_only_when_asked_and_can_be_ignored(opened: Opener, width: int) -> None:
    page = opened("/unknowns", "admin", width)
    assert "Grouping is off" in page.locator("main").inner_text()
    page.get_by_role("button", name="Switch grouping on").click()
    page.get_by_role("heading", name=re.compile("Seen .* times")).first.wait_for()
    before = page.get_by_role("heading", name=re.compile("Seen .* times")).count()
    page.get_by_role("button", name="Ignore").first.click()
    page.wait_for_url(re.compile("done="))
    assert page.get_by_role("heading", name=re.compile("Seen .* times")).count() == before - 1
    page.get_by_role("link", name="Ignored").click()
    page.get_by_role("button", name="Suggest again").first.click()
    page.get_by_role("link", name="Suggested").click()
    page.get_by_role("button", name="Switch off").click()
    page.get_by_text("Grouping is off").first.wait_for()


@both_widths
def test_cameras_tell_how_to_start_them_and_a_run_of_no_file_is_refused(opened: Opener, width: int) -> None:
    page = opened("/cameras", "admin", width, refusals=True)
    assert "farsight live --config" in page.locator("main").inner_text()
    page.goto("/runs")
    page.get_by_label("File or folder on this server").fill("/no/such/recording.mp4")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("no such file or folder on this server").wait_for()


def test_a_run_is_started_by_an_upload_stopped_and_resumed(opened: Opener, demo_run: Path, tmp_path: Path) -> None:
    clip = tmp_path / "again.mp4"
    clip.write_bytes(next((demo_run / "clip").glob("*.mp4")).read_bytes())
    page = opened("/runs", "operator")
    page.get_by_label("or upload a recording").set_input_files(str(clip))
    page.get_by_label("Settings").select_option("demo")
    page.get_by_label("False-alarm rate").fill("0.0001")
    page.get_by_label("Draw the annotated video").uncheck()
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(re.compile(r"/runs/\d"))
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Resume").click(timeout=180_000)
    page.wait_for_url(lambda url: "resumed" in url)
    page.get_by_text("finished", exact=True).wait_for(timeout=400_000)
    assert "10 tracks" in page.locator("pre.log").inner_text() or "tracks in" in page.locator("pre.log").inner_text()
    page.goto("/sightings?source=again")
    assert page.locator("article.sighting").count() >= 5


@both_widths
def test_settings_tell_what_a_rate_means_and_keep_it(opened: Opener, width: int) -> None:
    page = opened("/settings", "admin", width)
    assert "passers-by a day" in page.locator("main").inner_text()
    page.get_by_label(re.compile("1 in 1,000 passers-by: about")).check()
    page.locator("section", has_text="False alarms").get_by_role("button", name="Save").first.click()
    page.get_by_text("Saved").first.wait_for()
    assert page.get_by_label(re.compile("1 in 1,000 passers-by: about")).is_checked()
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_label("Language of dates").select_option("de-DE")
    page.locator("section", has_text="Language of dates").get_by_role("button", name="Save").click()
    page.goto("/sightings")
    page.wait_for_selector("time[data-shown]")
    assert re.match(r"\d\d\.\d\d\.\d{4}", page.locator("time[data-shown]").first.inner_text())
    page.goto("/settings")
    page.get_by_label("Time zone").select_option("")
    page.get_by_label("Language of dates").select_option("")
    page.locator("section", has_text="Language of dates").get_by_role("button", name="Save").click()


def test_everything_is_reached_by_keyboard(opened: Opener) -> None:
    page = opened("/sightings", "operator")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))
    assert {"Matches", "Add chosen to case"} <= reached and page.locator("article.sighting a").first.inner_text() in reached


def test_signing_in_and_out_by_the_form(opened: Opener) -> None:
    from tests.browser.demo_data import PASSWORD

    page = opened("/people", None)
    page.get_by_label("Name").fill("viewer")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(re.compile("/people$"))
    assert page.get_by_text("this needs the role").first.is_visible()  # instead of the forms
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(re.compile("/login"))
