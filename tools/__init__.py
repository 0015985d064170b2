"""Tools around Vego: the file inspector, the demo and the kernel warm-up. `vego` on the command line runs them."""
