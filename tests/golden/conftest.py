"""The golden texts are those of the compiler's model graphs."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "compiler"))
