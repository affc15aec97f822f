"""The one grammar of conditions, and what they become."""
