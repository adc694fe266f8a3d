"""One module a step, in order: v0001_..."""
