from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from trine import config
from trine.errors import ArgumentError


def test_defaults():
    settings = config.read_settings({})
    assert (settings.eager, settings.debug, settings.target, settings.engine) == (False, 0, None, "native")
    assert settings.num_threads >= 1 and settings.cache_dir is not None and settings.cache_dir.name == "trine"


def test_every_field_has_a_variable():
    assert set(config.VARIABLES) == {f.name for f in fields(config.Settings)}


def test_values_are_read():
    environ = {"TRINE_EAGER": "1", "TRINE_DEBUG": "3", "TRINE_TARGET": "AVX2", "TRINE_NUM_THREADS": " 2 ", "TRINE_CACHE_DIR": "/x/y"}
    settings = config.read_settings({**environ, "TRINE_ENGINE": "numpy", "TRINE_CACHE_MB": "7", "TRINE_MAX_RECORDS": ""})
    assert (settings.eager, settings.debug, settings.target, settings.num_threads) == (True, 3, "avx2", 2)
    assert (settings.cache_dir, settings.engine, settings.cache_mb) == (Path("/x/y"), "numpy", 7)
    assert settings.max_records == config.VARIABLES["max_records"].default()
    assert settings.replace(debug=0).debug == 0 and settings.debug == 3


def test_an_empty_cache_dir_switches_the_cache_off():
    assert config.read_settings({"TRINE_CACHE_DIR": ""}).cache_dir is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRINE_DEBUG", "5"), ("TRINE_DEBUG", "x"), ("TRINE_EAGER", "maybe"), ("TRINE_TARGET", "sse"), ("TRINE_NUM_THREADS", "0")],
)
def test_a_bad_value_names_the_variable_and_what_is_expected(name, value):
    with pytest.raises(ArgumentError) as caught:
        config.read_settings({name: value})
    assert name in str(caught.value) and repr(value) in str(caught.value) and "expected" in str(caught.value)
