"""Launches found again by their input: complete ones answer, others are made again."""

from __future__ import annotations

import pytest

from crystalloop.dft.pw.launch import LaunchOptions, PwRun
from crystalloop.dft.pw.replay import COMPLETE, Replay, was_cut_off

ENDED = LaunchOptions("0")
"""The command of the stand-in is its return code."""


@pytest.fixture
def launched():
    return []


@pytest.fixture
def run(launched):
    def run(text, folder, options):
        returncode = int(options.command)
        launched.append(str(folder.relative_to(folder.parents[1])))
        folder.mkdir(parents=True)
        for name, content in {"pw.in": text, "pw.out": f"answer to {text}", "pw.err": "", "pw.xml": "<xml/>"}.items():
            (folder / name).write_text(content)
        return PwRun(returncode, f"answer to {text}", "", "<xml/>", 2.5, 3.0, False, folder)

    return run


def test_a_complete_launch_answers_for_the_same_input_once(tmp_path, run, launched):
    first = Replay(tmp_path, run)("input", tmp_path / "attempt-1", ENDED)
    replay = Replay(tmp_path, run)
    assert replay("input", tmp_path / "attempt-2", ENDED) == first
    assert replay.answered("attempt-2") == "attempt-1"
    assert not (tmp_path / "attempt-2").exists()
    replay("input", tmp_path / "attempt-3", ENDED)  # asked a second time: launched a second time
    assert len(launched) == 2


def test_another_input_is_launched(tmp_path, run, launched):
    Replay(tmp_path, run)("input", tmp_path / "attempt-1", ENDED)
    replay = Replay(tmp_path, run)
    assert replay("another", tmp_path / "attempt-2", ENDED).stdout == "answer to another"
    assert replay.answered("attempt-2") == "attempt-2"


def test_a_series_goes_on_after_its_complete_launches(tmp_path, run, launched):
    for k in (1, 2):
        Replay(tmp_path, run)(f"volume {k}", tmp_path / "attempt-1" / f"volume-{k}", ENDED)
    (tmp_path / "attempt-1" / "volume-2" / COMPLETE).unlink()
    replay = Replay(tmp_path, run)
    for k in (1, 2, 3):
        replay(f"volume {k}", tmp_path / "attempt-2" / f"volume-{k}", ENDED)
    assert launched == [f"attempt-{n}/volume-{k}" for n, k in [(1, 1), (1, 2), (2, 2), (2, 3)]]
    assert replay.answered("attempt-2") == "attempt-2"  # it holds launches of its own
    assert not was_cut_off(tmp_path)


def test_a_launch_ended_by_a_signal_is_not_believed(tmp_path, run, launched):
    Replay(tmp_path, run)("input", tmp_path / "attempt-1", LaunchOptions("-9"))
    assert was_cut_off(tmp_path)
    Replay(tmp_path, run)("input", tmp_path / "attempt-2", ENDED)
    assert len(launched) == 2


@pytest.mark.parametrize("text", ["", "{}", "[1]", "{"])
def test_a_damaged_record_is_a_launch_to_be_made_again(tmp_path, run, launched, text):
    Replay(tmp_path, run)("input", tmp_path / "attempt-1", ENDED)
    (tmp_path / "attempt-1" / COMPLETE).write_text(text)
    Replay(tmp_path, run)("input", tmp_path / "attempt-2", ENDED)
    assert len(launched) == 2


def test_an_empty_folder_was_not_cut_off(tmp_path):
    assert not was_cut_off(tmp_path)
