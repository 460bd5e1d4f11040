"""How the core grows with atoms, edges, channels and lmax, and how near its kernels are to the machine."""
