"""Failures of pw.x: the numbered catalogue with its signs, and a correction for each that has one."""
