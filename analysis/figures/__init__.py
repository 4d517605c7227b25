"""One figure a module, each drawn from tables and written beside its CSV."""
