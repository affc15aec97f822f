"""What every engine promises, as tests: a class for each engine inherits them. The promises stand in models/learn/engine.py."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from crystalloop.models.learn.engine import Share


def parabola(variable):
    """Loss with its minimum at 3, and what the batch says beside it."""

    def loss(batch):
        return {"loss": ops.mean(ops.square(variable - 3.0)), "seen": ops.mean(batch["x"])}

    return loss


def numbered(count, size=2):
    """Batches of one shape that say which they are."""
    return [{"x": np.full(size, number, np.float32)} for number in range(count)]


def value(variable):
    return float(ops.convert_to_numpy(variable))


class EngineContract:
    """Inherit it and say in `engine` how one is made; `lines` hears its progress."""

    @pytest.fixture
    def lines(self):
        return []

    @pytest.fixture
    def engine(self, lines):
        raise NotImplementedError

    @pytest.fixture
    def number(self, engine):
        with engine.begin(0):
            return keras.Variable(1.0)

    def test_variables_are_the_same_for_a_seed_and_others_for_another(self, engine):
        made = []
        for seed in (3, 3, 4):
            with engine.begin(seed):
                layer = keras.layers.Dense(4)
                layer.build((None, 3))
            made.append(layer.get_weights()[0])
        np.testing.assert_array_equal(made[0], made[1])
        assert np.abs(made[0] - made[2]).max() > 0.01

    def test_it_finds_a_minimum(self, engine, number):
        found = engine.minimise("net", parabola(number), [number], numbered(200), 200, 0.3)
        assert value(number) == pytest.approx(3.0, abs=0.05)
        assert found["loss"] < 0.01

    def test_the_first_step_is_adams_at_a_tenth_of_the_rate(self, engine, number):
        engine.minimise("net", parabola(number), [number], numbered(1), 1, 0.5)
        assert value(number) == pytest.approx(1.05, abs=1e-5)

    def test_steps_are_adam_under_a_warm_up_and_a_cosine_with_clipped_gradients(self, engine, number):
        steps, rate = 40, 0.2
        engine.minimise("net", parabola(number), [number], numbered(steps), steps, rate)
        at, first, second = 1.0, 0.0, 0.0
        for step in range(steps):
            if step < 2:
                speed = rate / 10 + (rate - rate / 10) * step / 2
            else:
                speed = rate * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * (step - 2) / (steps - 2))))
            slope = np.clip(2 * (at - 3.0), -1.0, 1.0)
            first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
            by = np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
            at -= speed * by * first / (np.sqrt(second) + 1e-7)
        assert value(number) == pytest.approx(at, abs=1e-4)

    @pytest.mark.parametrize(("steps", "mean"), [(30, 28.0), (5, 4.0), (1, 0.0)])
    def test_what_comes_back_is_the_mean_of_the_last_tenth_of_every_part(self, engine, number, steps, mean):
        found = engine.minimise("net", parabola(number), [number], numbered(steps), steps, 0.01)
        assert set(found) == {"loss", "seen"}
        assert found["seen"] == pytest.approx(mean)
        assert all(isinstance(part, float) for part in found.values())

    def test_batches_are_taken_in_their_order_one_for_each_step(self, engine, number, lines):
        engine.minimise("net", parabola(number), [number], numbered(20), 20, 0.01)
        assert [line["seen"] for line in lines] == pytest.approx(list(range(20)))

    def test_batches_may_have_several_shapes(self, engine, number, lines):
        some = [{"x": np.full(size, size, np.float32)} for size in (2, 3, 2)]
        engine.minimise("net", parabola(number), [number], iter(some), 3, 0.01)
        assert [line["seen"] for line in lines] == [2.0, 3.0, 2.0]

    def test_without_batches_nothing_happens(self, engine, number):
        assert engine.minimise("net", parabola(number), [number], [], 5, 0.1) == {}
        assert value(number) == 1.0

    def test_what_it_is_not_given_stays_though_the_loss_reads_it(self, engine):
        with engine.begin(0):
            free, frozen = keras.Variable(1.0), keras.Variable(2.0)

        def loss(batch):
            return {"loss": ops.square(free * frozen - ops.mean(batch["x"]))}

        engine.minimise("net", loss, [free], numbered(4), 4, 0.1)
        assert value(free) != 1.0
        assert value(frozen) == 2.0

    def test_running_means_that_the_loss_assigns_are_kept(self, engine):
        with engine.begin(0):
            norm = keras.layers.BatchNormalization(momentum=0.5)
            norm.build((None, 2))

        def loss(batch):
            return {"loss": ops.mean(ops.square(norm(batch["x"], training=True) - 1.0))}

        engine.minimise("net", loss, norm.trainable_variables, [{"x": np.full((4, 2), 8.0, np.float32)}] * 3, 3, 0.1)
        np.testing.assert_allclose(ops.convert_to_numpy(norm.moving_mean), 7.0, atol=1e-5)

    def test_a_second_training_starts_with_a_new_optimiser(self, engine):
        moved = []
        for _ in range(2):
            with engine.begin(0):
                number = keras.Variable(1.0)
            engine.minimise("net", parabola(number), [number], numbered(3), 3, 0.1)
            moved.append(value(number))
        assert moved[0] == moved[1] != 1.0

    def test_alone_it_computes_whole_batches(self, engine):
        assert engine.share == Share(0, 1)
        np.testing.assert_array_equal(engine.share.of(np.arange(5)), np.arange(5))

    def test_progress_says_network_step_cost_and_loss_and_ends_with_the_last_step(self, engine, number, lines):
        engine.minimise("net", parabola(number), [number], numbered(45), 45, 0.01)
        assert 20 <= len(lines) <= 23
        assert lines[-1]["step"] == 45
        assert set(lines[0]) == {"network", "step", "steps", "seconds", "cpu_s", "memory_mb", "loss", "seen"}
        assert {(line["network"], line["steps"]) for line in lines} == {("net", 45)}
        assert sorted(line["seconds"] for line in lines) == [line["seconds"] for line in lines]
        assert lines[-1]["memory_mb"] > 50
        assert lines[-1]["loss"] < lines[0]["loss"]
        assert isinstance(lines[0]["loss"], float)

    def test_the_wall_time_of_all_trainings_is_added_up(self, engine, number):
        assert engine.step_s == 0.0
        engine.minimise("net", parabola(number), [number], numbered(2), 2, 0.01)
        once = engine.step_s
        engine.minimise("net", parabola(number), [number], numbered(2), 2, 0.01)
        assert 0.0 < once < engine.step_s
