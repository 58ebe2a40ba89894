"""The HTTP API, one router file for each area. ``console/openapi.json`` describes it."""

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
    people_photos.router,  # before people, which would take "import" of /people/import for a person's id
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
