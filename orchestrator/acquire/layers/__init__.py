"""Layers round an acquirer, each itself one: diversity, exploration, cost, success, guards. They change scores."""
