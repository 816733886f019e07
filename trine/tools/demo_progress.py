"""What the demo prints: headed steps, and the live progress of the training; plain lines where there is no terminal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from trine.tools.demo_train import Progress

PLAIN_INTERVAL = 10.0  # seconds between two plain lines


class Reporter:
    """Prints the steps of the demo.

    Args:
        console: where to; by default standard output.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._number = 0

    def step(self, title: str) -> None:
        """Print the heading of the next step."""
        self._number += 1
        self.console.print(f"\n[bold]{self._number}. {title}[/bold]")

    def close(self, text: str) -> None:
        """Print the last line."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def line(self, text: str) -> None:
        """Print an indented line, as it is."""
        self.console.print("   " + text, markup=False)

    @contextmanager
    def training(self) -> Iterator[Callable[[Progress], None]]:
        """Show a training: yields the function that takes each step's progress."""
        if not self.console.is_terminal:
            yield self._plain_watch()
            return
        columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"), _Figures())
        with Bar(TextColumn("  "), *columns, console=self.console, refresh_per_second=8) as bar:
            task = bar.add_task("training", total=None, progress=None)

            def watch(progress: Progress) -> None:
                bar.update(task, completed=progress.step, total=progress.num_steps, progress=progress)

            yield watch

    def _plain_watch(self) -> Callable[[Progress], None]:
        last = -math.inf

        def watch(progress: Progress) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PLAIN_INTERVAL or progress.step == progress.num_steps:
                last = now
                self.line(f"step {progress.step:>5,} of {progress.num_steps:,}  {format_progress(progress)}")

        return watch


def format_progress(progress: Progress) -> str:
    """Return the figures of a training in one line.

    >>> format_progress(Progress(epoch=2, step=300, num_steps=400, loss=0.05, accuracy=0.98, images=30000, seconds=15.0))
    'epoch 2  loss 0.0500  accuracy 98.00 %  2,000 images/s  5 s left'
    """
    return (
        f"epoch {progress.epoch}  loss {progress.loss:.4f}  accuracy {progress.accuracy:.2%}  "
        f"{progress.images_per_second:,.0f} images/s  {progress.seconds_left:.0f} s left"
    ).replace("%", " %")


class _Figures(ProgressColumn):
    """The figures right of the bar."""

    def render(self, task: Task) -> Text:
        progress = task.fields.get("progress")
        return Text(format_progress(progress) if progress else "compiling the first step")
