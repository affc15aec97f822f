"""pw.x: input, running, output, failures and their corrections. No networks, no Ray."""
