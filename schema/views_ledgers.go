package schema

// ledgerViews are what analysts ask of points, store credits and gift cards.
var ledgerViews = []View{}
