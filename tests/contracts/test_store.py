"""The stores there are, held to the contract."""

import pytest
from contracts.store import StoreContract

from crystalloop.db.ledger.memory import MemoryStore


class TestMongoStore(StoreContract):
    """On the embedded server, or on the one that CRYSTALLOOP_TEST_MONGODB_URI names."""


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()
