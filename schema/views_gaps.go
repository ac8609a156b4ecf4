package schema

// gapViews are the proof that no event of a ledger is missing or doubled.
var gapViews = []View{}
