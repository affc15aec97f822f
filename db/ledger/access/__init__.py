"""How the database is reached, and what is never said of it: connections, retries, passwords left out of messages."""
