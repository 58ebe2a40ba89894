"""The HTTP API: one router file an area. What is below /api/v1 is described in ``console/openapi.json``."""

from fastapi import APIRouter

from console.api import (
    administration,
    cameras,
    cases,
    events,
    people,
    people_photos,
    pictures,
    plain,
    runs,
    search,
    session,
    tracks,
    unknowns,
)

ROUTERS: tuple[APIRouter, ...] = (
    session.router,
    tracks.router,
    events.router,
    people_photos.router,  # before people: /people/import is no person's id
    people.router,
    search.router,
    runs.router,
    cases.router,
    cameras.router,
    unknowns.router,
    administration.router,
    plain.router,
    pictures.router,
)
