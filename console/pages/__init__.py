"""The console's HTML pages: one router file each, mounted in this order by `console.app`."""

from fastapi import APIRouter

from console.pages import cases, people, report, review, search, sightings, sign_in, track

ROUTERS: tuple[APIRouter, ...] = (
    *(sign_in.router, report.router, sightings.router, track.router, review.router, people.router),
    *(search.router, cases.router),
)
