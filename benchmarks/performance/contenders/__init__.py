"""Networks to measure side by side, each behind the same small interface and each in its own module.

A contender's module imports its package only when the contender is made, so that this package can be read in an
environment that has none of them.
"""
