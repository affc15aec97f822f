"""A crystal as a parsed JSON object -> a structure, one family of shapes a file. Which of them an object has: structure_json."""
