"""A one-machine document server: the MongoDB wire protocol over mongomock's query engine and SQLite.

Start it with `python -m crystalloop.db.embedded --folder DIR`. It serves any MongoDB client and knows nothing of crystals.
"""
