"""The Core protocol, cores, and all that every training strategy needs."""
