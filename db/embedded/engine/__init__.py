"""What the embedded server keeps: collections and their indexes in memory, SQLite on the disk, cursors, values."""
