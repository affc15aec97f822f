"""Fits of the three networks: the job, what a step sees, one function per network on any engine, saved at the end."""
