"""A database is found or started (server), and it is shown to keep its promises (probe)."""
