"""`uv sync` installs what the project names and what its tests ran with."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.running import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK: dict[str, Any] = tomllib.loads((ROOT / "uv.lock").read_text())
FRESH = "uv.lock is out of date: run `uv lock`"


def locked() -> dict[str, set[str]]:
    """Versions in the lock by package. Some packages have one a Python version."""
    versions: dict[str, set[str]] = {}
    for package in LOCK["package"]:
        versions.setdefault(package["name"], set()).add(package.get("version", ""))
    return versions


def named(requirement: str) -> tuple[str, str]:
    parsed = Requirement(requirement)
    return canonicalize_name(parsed.name), str(parsed.specifier)


def test_the_lock_has_the_requirements_of_pyproject() -> None:
    (own,) = (package for package in LOCK["package"] if package["name"] == "farsight")
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = {(*named(text), "") for text in PROJECT["project"]["dependencies"]}
    wanted |= {(*named(text), extra) for extra, texts in extras.items() for text in texts}
    held = set()
    for row in own["metadata"]["requires-dist"]:
        extra = re.search(r"extra == '([^']+)'", row.get("marker", ""))
        held.add((row["name"], str(Requirement(f"x{row.get('specifier', '')}").specifier), extra[1] if extra else ""))
    assert held == wanted, FRESH
    assert set(own["metadata"]["provides-extras"]) == set(extras), FRESH
    assert LOCK["requires-python"].replace(" ", "") == PROJECT["project"]["requires-python"].replace(" ", ""), FRESH
    overrides = {canonicalize_name(Requirement(text).name) for text in PROJECT["tool"]["uv"]["override-dependencies"]}
    assert {row["name"] for row in LOCK["manifest"]["overrides"]} == overrides, FRESH


def test_uv_installs_the_versions_that_make_installs() -> None:
    versions = locked()
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line and not line.startswith("#")]
    assert len(pins) > 50
    for name, version in (pin.split("==") for pin in pins):
        assert version in versions.get(canonicalize_name(name), set()), f"{name}=={version}: {FRESH}"
    torch = next(text for text in PROJECT["project"]["dependencies"] if text.startswith("torch=="))
    assert versions["torch"] == {torch.partition("==")[2]}


def test_no_opencv_that_needs_a_display_is_locked() -> None:
    assert {name for name in locked() if name.startswith("opencv")} == {"opencv-python-headless"}


@pytest.mark.parametrize("kind", ["sdist", "wheels"])
def test_every_file_is_at_the_public_index_with_a_digest(kind: str) -> None:
    for package in LOCK["package"]:
        if package["name"] == "farsight":
            assert package["source"] == {"editable": "."}
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}
        files = package.get(kind, [])
        for file in [files] if isinstance(files, dict) else files:
            assert file["url"].startswith("https://files.pythonhosted.org/packages/")
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", file["hash"])
