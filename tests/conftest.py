"""Marks: tests of recordings are skipped where every operation runs at once."""

from __future__ import annotations

import pytest

from trine import config


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not config.settings.eager:
        return
    skip = pytest.mark.skip(reason="TRINE_EAGER=1: there is no recording to ask about")
    for item in items:
        if "recorded" in item.keywords:
            item.add_marker(skip)
