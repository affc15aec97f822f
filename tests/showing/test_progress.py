"""What is shown while work goes on: one bar for each network, lines where nothing can be redrawn, nothing when quiet."""

import io
import json

import pytest
from rich.console import Console

from crystalloop.orchestrator.show.progress import Progress, TrainWatch


def console(*, terminal):
    return Console(file=io.StringIO(), width=100, force_terminal=terminal)


def step(path, network, number):
    line = {"network": network, "step": number, "steps": 4, "loss": 0.5, "seconds": 1, "cpu_s": 1, "memory_mb": 1}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def test_without_a_terminal_the_news_of_every_network_is_a_line(tmp_path):
    shown, path = console(terminal=False), tmp_path / "progress.jsonl"
    step(path, "unet", 4)  # an earlier training's
    with TrainWatch(shown, path, lambda network: 4) as watch:
        watch.say("[two] classes")
        step(path, "vae", 1)
        step(path, "vae", 2)
    assert shown.file.getvalue().splitlines() == [
        "[two] classes",
        "vae step 2/4: loss 0.5; 8.0 samples/s, 0:01 left",
    ]


def test_a_network_has_one_bar_however_often_it_is_looked_at(tmp_path):
    shown, path = console(terminal=True), tmp_path / "progress.jsonl"
    with TrainWatch(shown, path, lambda network: 4) as watch:
        for number in (1, 2, 3):
            step(path, "vae", number)
            watch._look()
    assert shown.file.getvalue().rpartition("\x1b[2K")[2].count("vae") == 1


@pytest.mark.parametrize("terminal", [False, True])
def test_a_quiet_campaign_says_nothing(terminal):
    shown = console(terminal=terminal)
    with Progress(shown, quiet=True) as progress:
        progress.say("round 1")
    assert shown.file.getvalue() == ""


def test_a_line_of_a_campaign_begins_with_the_time_since_its_start():
    shown = console(terminal=False)
    with Progress(shown) as progress:
        progress.say("round 1")
    assert shown.file.getvalue() == "  0:00 round 1\n"
