"""What the embedded server answers: a table of commands, reads, writes, updates, pipelines, the catalogue."""
