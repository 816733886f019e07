"""``python -m trine``: the command line."""

import sys

from trine.tools.cli import main

sys.exit(main())
