"""The console's HTML pages, one router file each. `console.app` includes them in this order."""

from fastapi import APIRouter

from console.pages import (
    cameras,
    cases,
    people,
    report,
    review,
    runs,
    search,
    settings,
    sightings,
    sign_in,
    track,
    unknowns,
    users,
)

ROUTERS: tuple[APIRouter, ...] = (
    *(sign_in.router, report.router, sightings.router, track.router, review.router, people.router, search.router),
    *(unknowns.router, cameras.router, runs.router, cases.router, settings.router, users.router),
)
