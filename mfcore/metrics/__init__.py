"""Pure functions from errors to answers: scores, intervals, comparisons, learning curves, economics."""
