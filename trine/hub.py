"""Models from local folders and weights from the local cache. Nothing is ever downloaded."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import Any
from urllib.parse import urlparse

from trine.errors import ArgumentError, UnsupportedError, message

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
_directory: str | None = None


def _get_torch_home() -> str:
    """Return the folder of PyTorch's cache: TORCH_HOME, or torch below the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))


def get_dir() -> str:
    """Return the folder in which hub files are looked for."""
    return os.path.join(_get_torch_home(), "hub") if _directory is None else _directory


def set_dir(d: str | os.PathLike[str]) -> None:
    """Set the folder in which hub files are looked for."""
    global _directory
    _directory = os.path.expanduser(d)


def _entries(repo_or_dir: str, source: str) -> Any:
    """Return the module ``hubconf.py`` of a local folder."""
    if source != "local":
        fix = "fetch the repository yourself and pass its folder with source='local'"
        raise UnsupportedError(message("hub: nothing is downloaded", received=f"{repo_or_dir!r}, source={source!r}", fix=fix))
    path = os.path.join(repo_or_dir, "hubconf.py")
    if not os.path.exists(path):
        raise ArgumentError(message("hub: no hubconf.py", received=repo_or_dir, expected="a folder with that file"))
    spec = importlib.util.spec_from_file_location("hubconf", path)
    if spec is None or spec.loader is None:
        raise ArgumentError(message("hub: hubconf.py can't be imported", received=path))
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(repo_or_dir))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(repo_or_dir))
    return module


def _entry(repo_or_dir: str, name: str, source: str) -> Any:
    found = getattr(_entries(repo_or_dir, source), name, None)
    if not callable(found):
        raise _NoEntry(message("hub: hubconf.py has no such callable", received=name, fix="trine.hub.list(folder, source='local')"))
    return found


class _NoEntry(ArgumentError, RuntimeError):
    """A folder's hubconf.py does not define a name."""


def list(github: str, force_reload: bool = False, skip_validation: bool = False, source: str = "github", **kwargs: Any) -> Any:
    """Return the names that a folder's hubconf.py offers (source="local")."""
    return [n for n, v in vars(_entries(github, source)).items() if callable(v) and not n.startswith("_")]


def help(github: str, model: str, force_reload: bool = False, skip_validation: bool = False, source: str = "github", **kwargs: Any) -> Any:
    """Return the docstring of an entry of a folder's hubconf.py (source="local")."""
    return _entry(github, model, source).__doc__


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """Return ``model(*args, **kwargs)`` of the hubconf.py in a folder (source="local").

    Raises:
        UnsupportedError: the source is not local. RuntimeError: there is no such entry.
    """
    for option in ("trust_repo", "force_reload", "verbose", "skip_validation"):
        kwargs.pop(option, None)
    return _entry(repo_or_dir, model, source)(*args, **kwargs)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Raise: nothing is downloaded.

    Raises:
        UnsupportedError: always.
    """
    raise UnsupportedError(message("hub: nothing is downloaded", received=url, fix=f"put the file at {dst} yourself"))


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """Return the state that an earlier download has left in the cache.

    Raises:
        UnsupportedError: the file is not there; the message says where it belongs.
    """
    folder = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    path = os.path.join(folder, file_name or os.path.basename(urlparse(url).path))
    if not os.path.exists(path):
        download_url_to_file(url, path)
    from trine.serialization import load

    return load(path)
