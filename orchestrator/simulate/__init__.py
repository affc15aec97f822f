"""The virtual laboratory: the same loop with a table in pw.x's place, judged by the truth."""
