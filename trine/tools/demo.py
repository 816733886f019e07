"""``trine demo``: train a convolutional network on MNIST, test it, save it, check it in a new process, and draw a picture."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import trine
from trine.config import settings
from trine.errors import ArgumentError, TrineError, message
from trine.tools import demo_reload
from trine.tools.demo_model import Array, DigitNet, accuracy, predict
from trine.tools.demo_train import History, Recipe, train
from trine.tools.mnist import Digits, load_digits

if TYPE_CHECKING:
    from trine.tools.demo_progress import Reporter

DESCRIPTION = """\
Train a convolutional network on the MNIST digits and check the whole way: fetch the data (once), train, measure the accuracy on the
test digits, save, reload in a new process, compare all predictions, and draw a picture. Takes about a minute on two cores.
"""
EXIT = "exit status: 0 all is well; 1 the accuracy or the reloaded predictions are not; 2 the demo could not run; 130 interrupted"


class DependencyError(TrineError, ImportError):
    """A package of the demo is not installed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What suits a set of digits: the default recipe, and the accuracy that must be reached."""

    epochs: int
    batch_size: int
    lr: float
    shift: int
    min_accuracy: float


PLANS = {
    "full": Plan(epochs=4, batch_size=128, lr=3e-3, shift=0, min_accuracy=0.988),
    "small": Plan(epochs=25, batch_size=64, lr=2e-3, shift=2, min_accuracy=0.97),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the demo."""
    full, small = PLANS["full"], PLANS["small"]
    parser.description, parser.epilog = DESCRIPTION, EXIT
    add = parser.add_argument
    add(
        "--data",
        choices=("auto", "full", "small"),
        default="auto",
        help="full: 60 000 + 10 000 digits; small: 4 000 + 1 000; auto: full if it can be fetched (default)",
    )
    add("--data-dir", type=Path, help="where the digits are kept (default: $TRINE_DATA_DIR, or trine-data in the user's cache directory)")
    add("--epochs", type=_positive(int), help=f"passes over the training digits (default {full.epochs}; small: {small.epochs})")
    add("--batch-size", type=_positive(int), help=f"digits a step (default {full.batch_size}; small: {small.batch_size})")
    add("--lr", type=_positive(float), help=f"largest learning rate of the schedule (default {full.lr}; small: {small.lr})")
    add("--seed", type=int, default=0, help="of the weights, the order of the digits and the dropout (default 0)")
    add("--threads", type=_positive(int), help=f"worker threads (default {settings.num_threads}); the results do not depend on it")
    add("--output", type=Path, default=Path("demo-output"), help="directory of the saved network and the picture (default demo-output)")
    add("--no-picture", action="store_true", help="do not draw the picture (matplotlib is not needed)")
    add(
        "--min-accuracy",
        type=_share,
        help=f"accuracy that must be reached, from 0 to 1 (default {full.min_accuracy}; small: {small.min_accuracy})",
    )


def _positive(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    def parse(text: str) -> int | float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    parse.__name__ = f"{kind.__name__} above 0"  # argparse prints it in its errors
    return parse


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


_share.__name__ = "share from 0 to 1"


def run(options: argparse.Namespace) -> int:
    """Run the demo and return its exit status.

    Raises:
        TrineError: it could not run; the message says why.
    """
    _require("rich", *([] if options.no_picture else ["matplotlib"]))
    from trine.tools.demo_progress import Reporter

    report = Reporter()
    _prepare(options, report)
    digits = _get_digits(options, report)
    plan = PLANS[digits.name]
    recipe = Recipe(options.epochs or plan.epochs, options.batch_size or plan.batch_size, options.lr or plan.lr, options.seed, plan.shift)
    model, history = _train(digits, recipe, report)
    logits = predict(model, digits.test_images)
    bound = plan.min_accuracy if options.min_accuracy is None else options.min_accuracy
    is_accurate = _test(digits, logits, bound, report)
    is_same = _reload(model, digits, logits, options.output, report)
    if not options.no_picture:
        _draw(options.output, history, digits, logits, report)
    is_well = is_accurate and is_same
    report.close("All is well." if is_well else "Something is not as it should be: see above.")
    return 0 if is_well else 1


def _require(*packages: str) -> None:
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        what = f"the demo needs {' and '.join(missing)}"
        raise DependencyError(message(what, received="not installed", fix="pip install 'trine[demo]'"))


def _prepare(options: argparse.Namespace, report: Reporter) -> None:
    """Make the output directory and set threads and seed, before anything is fetched or trained."""
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "name another directory with --output"
        raise ArgumentError(message(f"demo: {options.output} cannot be the output directory", received=str(error), fix=fix)) from error
    if options.threads:
        trine.set_num_threads(options.threads)
    trine.manual_seed(options.seed)
    threads = f"{trine.get_num_threads()} thread{'s' if trine.get_num_threads() != 1 else ''}"
    report.console.print(f"[bold]Trine {trine.__version__}[/bold], engine {settings.engine}, {threads}")


def _get_digits(options: argparse.Namespace, report: Reporter) -> Digits:
    report.step("The digits: real handwriting, MNIST")
    digits = load_digits(options.data, options.data_dir, report.line)
    report.line(f"{len(digits.train_labels):,} to train on, {len(digits.test_labels):,} to test with, 28 x 28 pixels each")
    return digits


def _train(digits: Digits, recipe: Recipe, report: Reporter) -> tuple[DigitNet, History]:
    model = DigitNet()
    report.step("The network and its training")
    report.line(f"conv 3x3, 32 - relu - pool - conv 3x3, 64 - relu - pool - dropout - linear, {count_parameters(model):,} parameters")
    shift = f", digits shifted by up to {recipe.shift} pixels" if recipe.shift else ""
    report.line(f"AdamW, {recipe.epochs} epochs, batches of {recipe.batch_size}, learning rate up to {recipe.lr:g}, then decaying{shift}")
    with report.training() as watch:
        history = train(model, digits, recipe, watch)
    for epoch, share in enumerate(history.test_accuracy, 1):
        report.line(f"after epoch {epoch}: {share:.2%} of the test digits right".replace("%", " %"))
    report.line(f"{history.seconds:.1f} s, {history.images / history.seconds:,.0f} images/s, compilation included")
    return model, history


def count_parameters(model: DigitNet) -> int:
    """Return the number of trained numbers."""
    return sum(p.numel() for p in model.parameters())


def _test(digits: Digits, logits: Array, bound: float, report: Reporter) -> bool:
    report.step("The test: digits that it was not trained on")
    share, count = accuracy(logits, digits.test_labels), len(digits.test_labels)
    errors = count - round(share * count)
    verdict = "at least" if share >= bound else "NOT"
    report.line(f"test accuracy {100 * share:.2f} %: {errors:,} errors in {count:,} ({verdict} {100 * bound:.1f} %)")
    return share >= bound


def _reload(model: DigitNet, digits: Digits, logits: Array, output: Path, report: Reporter) -> bool:
    """Save the network, predict with it in a new process, and compare."""
    path = output / "model.safetensors"
    report.step("Saved, reloaded in a new process, compared")
    trine.save(model.state_dict(), path)
    report.line(f"{path}, {path.stat().st_size / 1000:,.0f} kB (safetensors: any framework reads it, nothing in it can execute)")
    with tempfile.TemporaryDirectory(prefix="trine-demo-") as temporary:
        images_path, logits_path = Path(temporary) / "images.npy", Path(temporary) / "logits.npy"
        np.save(images_path, digits.test_images)
        command = [sys.executable, "-m", demo_reload.__name__, str(path), str(images_path), str(logits_path)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            report.line(f"the new process failed: {done.stderr.strip() or f'exit status {done.returncode}'}")
            return False
        again = np.load(logits_path, allow_pickle=False)
    same = int((again.argmax(1) == logits.argmax(1)).sum())
    bits = "to the last bit" if np.array_equal(again, logits) else f"within {np.abs(again - logits).max():.1e}"
    report.line(f"{same:,} of {len(logits):,} predictions are identical; the logits agree {bits}")
    return same == len(logits)


def _draw(output: Path, history: History, digits: Digits, logits: Array, report: Reporter) -> None:
    from trine.tools.demo_picture import write_picture

    report.step("The picture")
    path = output / "demo.png"
    share = 100 * accuracy(logits, digits.test_labels)
    title = f"Trine on MNIST: {share:.2f} % of {len(logits):,} test digits right, trained in {history.seconds:.0f} s"
    write_picture(path, history, digits.test_images, digits.test_labels, logits, title)
    report.line(f"{path}: loss and accuracy, confusion matrix, test digits with predictions")
