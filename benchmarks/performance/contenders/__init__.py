"""Networks to measure side by side, each behind the same small interface.

Most are cores of mfbench; what is none (HIP-NN, NequIP as it compiles itself) has a module of its own. A package is
imported only when its contender is made, so that this can be read in an environment that has none of them.
"""
