"""Every surrogate, held to the contract."""

import numpy as np
import pytest
from contracts.surrogate import SurrogateContract, labelled

from crystalloop.models.surrogate.gaussian_process import GaussianProcess
from crystalloop.models.surrogate.stack import Stack
from crystalloop.models.surrogate.trees import Trees


class TestTrees(SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return Trees(trees=30)


class TestGaussianProcess(SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return GaussianProcess()


class TestGaussianProcessInBlocks(SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return GaussianProcess((2, 1, 3))


class TestStack(SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return Stack({"trees": Trees(trees=20), "gaussian process": GaussianProcess()})


def test_a_gaussian_process_goes_through_labels_without_noise_and_knows_where_it_knows_nothing():
    known = labelled(60)
    fitted = GaussianProcess().fit(known, 1)
    near, far = fitted.predict(known.rows), fitted.predict(known.rows + 50.0)
    assert np.abs(near.mean - known.values).mean() < 0.2
    assert near.sigma.mean() < 0.5 * far.sigma.mean()


def test_a_stack_believes_the_member_that_was_right_on_groups_that_it_had_not_seen():
    class Wrong(Trees):
        def fit(self, labelled, seed):
            part = labelled.part(np.arange(len(labelled)))
            rng = np.random.default_rng(0)
            part.values[:] = rng.permutation(part.values)
            return super().fit(part, seed)

    stack = Stack({"wrong": Wrong(30), "right": GaussianProcess()})
    fitted = stack.fit(labelled(100), 1)
    assert fitted.weights[1] > 0.8
    assert fitted.name.endswith("gaussian process") or "right" in fitted.name


def test_a_stack_of_few_labels_believes_each_member_the_same():
    fitted = Stack({"trees": Trees(20), "process": GaussianProcess()}).fit(labelled(8), 1)
    np.testing.assert_allclose(fitted.weights, [0.5, 0.5])
    assert fitted.name == "50% trees, 50% process"


def test_a_member_that_takes_no_more_labels_is_left_out():
    fitted = Stack({"trees": Trees(20), "process": GaussianProcess()}, {"process": 10}).fit(labelled(12), 1)
    assert fitted.names == ("trees",)
