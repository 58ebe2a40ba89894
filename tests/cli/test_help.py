"""What a user sees of the commands: their help and the shell's completion."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli import app


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("words", [("add",), ("import",)])
def test_help_shows_the_present_name_of_an_option_and_not_its_former_one(words: tuple[str, ...]) -> None:
    text = shown("watchlist", *words)
    assert "--allow-lookalike" in text and "--anyway" not in text


def test_help_shows_the_present_names_of_commands_and_not_their_former_ones() -> None:
    text = shown("watchlist")
    assert "disable" in text and "enable" in text
    assert "set-aside" not in text and "restore" not in text


def test_the_shell_completes_commands() -> None:
    """As bash asks it: for the words after `farsight wat`."""
    asked = {"_FARSIGHT_COMPLETE": "complete_bash", "COMP_WORDS": "farsight wat", "COMP_CWORD": "1"}
    program = "import sys; sys.argv = ['farsight']; from cli import main; main()"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["watchlist"]


def test_the_former_name_of_an_option_is_still_taken() -> None:
    done = CliRunner().invoke(app, ["watchlist", "import", "/nowhere", "--db", "/nowhere/people.db", "--anyway"])
    assert "no such file or folder" in str(done.exception) and done.exit_code == 1
