"""The ledger: its records, the contract `store`, what all stores do (documents, leases), and two of them: mongo, memory."""
