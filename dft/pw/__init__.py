"""pw.x itself: input text, the subprocess, its output; around it scratch, replay, stops and restarts, watching."""
