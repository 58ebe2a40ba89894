"""The console's HTML pages: one router file each, mounted in this order by `console.app`."""

from fastapi import APIRouter

from console.pages import report, sign_in

ROUTERS: tuple[APIRouter, ...] = (sign_in.router, report.router)
