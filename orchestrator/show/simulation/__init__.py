"""The page of a simulation: hits against calls, rates, coverage; see orchestrator.simulate for the numbers."""
