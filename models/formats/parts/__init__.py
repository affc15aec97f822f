"""What the readers of all formats share: text of a file (content), numbers and elements (words), cells, moments, checks (sound)."""
