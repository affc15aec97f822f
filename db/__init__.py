"""What is written down and how it is asked for. Imports none of the other packages."""
