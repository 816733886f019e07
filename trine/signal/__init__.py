"""Signal processing: `trine.signal.windows`."""

from __future__ import annotations

from trine.signal import windows

__all__ = ["windows"]
