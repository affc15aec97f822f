"""One crystal relaxed without campaign or database (`crystalloop relax`): the request, its plan, its folder, its result."""
