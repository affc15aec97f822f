"""How far forecasts came true: the figure and the words of the report. The numbers are of account.calibration."""
