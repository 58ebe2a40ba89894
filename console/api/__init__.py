"""The HTTP API: one router file an area. What is below /api/v1 is described in ``console/openapi.json``."""

from fastapi import APIRouter

from console.api import pictures, plain, session

ROUTERS: tuple[APIRouter, ...] = (session.router, plain.router, pictures.router)
