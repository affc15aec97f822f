"""The one grammar of conditions (language), the ledger's names for it (fields), and what a condition becomes (to_*)."""
