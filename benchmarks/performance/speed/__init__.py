"""Speed and memory of the core beside its peers, taking turns on the same frames."""
