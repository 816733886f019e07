"""The command line: ``trine COMMAND``, also ``python -m trine COMMAND``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trine.config import settings
from trine.errors import TrineError
from trine.tools import info

INTERRUPTED = 130  # as shells report a process that Ctrl-C ended


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; `run` in the parsed options is the command's function."""
    from trine.tools import demo, explain

    parser = argparse.ArgumentParser(prog="trine", description="Trine: dynamic programs that run as compiled static graphs.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module, summary in (
        ("demo", demo, "train a network on real digits, check it, draw a picture"),
        ("explain", explain, "run a program and show what its recordings become"),
        ("info", info, "show the version, the engine, the target, the threads and the caches"),
    ):
        command = commands.add_parser(name, help=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 2 for an error that was expected and explained, 130 for Ctrl-C.

    Args:
        arguments: of the command line; by default those of this process.
    """
    try:
        options = build_parser().parse_args(arguments)
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away: nothing more to say, and Python need not say it either
        return 1
    except TrineError as error:
        if settings.debug:
            raise
        print(f"trine: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
