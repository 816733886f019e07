"""``trine explain``: run a program and show what its recordings become."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

from trine.config import settings
from trine.errors import ArgumentError, message

LEVELS = {"plans": 1, "fusion": 2, "loops": 3, "assembly": 4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the command."""
    parser.description = "Run a program and print each plan as it is made: groups, commands, and the lines of the program they come from."
    parser.add_argument("--show", choices=LEVELS, default="plans", help="how much: each level shows what those before it show too")
    parser.add_argument("program", help="a Python file")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments")


def run(options: argparse.Namespace) -> int:
    """Run the program as `__main__`, with the plans on standard error, and return 0.

    Raises:
        ArgumentError: there is no such file.
    """
    path = Path(options.program)
    if not path.is_file():
        raise ArgumentError(message("explain: no such program", received=options.program, expected="the path of a Python file"))
    before, settings.debug = settings.debug, LEVELS[options.show]
    argv, sys.argv = sys.argv, [str(path), *options.arguments]
    sys.path.insert(0, str(path.parent))
    try:
        runpy.run_path(str(path), run_name="__main__")
        from trine.tensor import flush

        flush()
    finally:
        settings.debug, sys.argv = before, argv
        sys.path.remove(str(path.parent))
    return 0
