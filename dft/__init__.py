"""pw.x, or whatever stands in for it: recipe, running, output, failures and their cures, the worker. No networks, no Ray."""
