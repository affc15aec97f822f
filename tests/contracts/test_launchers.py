"""run_pw and each layer round it, held to the contract of Launcher; last the two stacks that the product uses."""

from __future__ import annotations

import pytest
from launcher import LauncherPromises

from crystalloop.dft.pw import limit
from crystalloop.dft.pw.command import Filled
from crystalloop.dft.pw.limit import Clock, Limit
from crystalloop.dft.pw.replay import Replay
from crystalloop.dft.pw.run import run_pw
from crystalloop.dft.pw.scratch import Scratch, require_scratch
from crystalloop.dft.pw.watch import Watch


class TestRunPw(LauncherPromises):
    @pytest.fixture
    def launcher(self):
        return run_pw


class TestScratch(LauncherPromises):
    @pytest.fixture
    def launcher(self, tmp_path):
        scratch = require_scratch(tmp_path / "scratch")
        yield Scratch(scratch, run_pw)
        assert list(scratch.iterdir()) == []


class TestReplay(LauncherPromises):
    @pytest.fixture
    def launcher(self, place):
        return Replay(place, run_pw)


class TestReplayOfAnEarlierWorker(LauncherPromises):
    """Each launch is asked of a worker that has just taken the folder over."""

    @pytest.fixture
    def launcher(self, place):
        def newly(input_text, folder, options):
            return Replay(place, run_pw)(input_text, folder, options)

        return newly


class TestWatch(LauncherPromises):
    @pytest.fixture
    def launcher(self):
        return Watch(lambda _: None, lambda _: None, run_pw)


class TestFilled(LauncherPromises):
    @pytest.fixture
    def launcher(self, tmp_path):
        return Filled(tmp_path, run_pw)


class TestLimit(LauncherPromises):
    @pytest.fixture
    def launcher(self, monkeypatch):
        monkeypatch.setattr(limit, "SIGNALLED_S", 0.01)
        return Limit(Clock(), run_pw)


class TestTheStackOfAWorker(LauncherPromises):
    @pytest.fixture
    def launcher(self, place, tmp_path, monkeypatch):
        monkeypatch.setattr(limit, "SIGNALLED_S", 0.01)
        scratch = require_scratch(tmp_path / "scratch")
        return Replay(place, Limit(Clock(), Filled(tmp_path, Scratch(scratch, run_pw))))


class TestTheStackOfOneCrystal(LauncherPromises):
    @pytest.fixture
    def launcher(self, place, tmp_path):
        return Replay(place, Watch(lambda _: None, lambda _: None, Filled(tmp_path, run_pw)))
