package schema

// cachedViews hold what a heavy view said when they were refreshed.
var cachedViews = []View{}
