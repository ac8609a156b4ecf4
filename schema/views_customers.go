package schema

// customerViews are what analysts ask of customers.
var customerViews = []View{}
