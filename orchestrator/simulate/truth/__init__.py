"""The table that a loop is judged by: which file it is, its rows, and which of them are hits. No policy, no loop."""
