"""pw.x itself: input text, output, the subprocess; Launcher, and the layers of it: scratch, replay, limit, watch, command."""
