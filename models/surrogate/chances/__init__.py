"""What may happen beside what is predicted: intervals, chances of a hit and of success, drift; docs/science/calibration.md."""
