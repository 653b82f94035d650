"""C99 files without dependencies: a step, any program, a predictive controller."""
