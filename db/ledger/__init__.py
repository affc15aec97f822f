"""The ledger: its documents (records), the contract Store (store), MongoDB behind it (mongo, connection), imported energies."""
