"""How a verdict and its gain change under other choices than the registered ones."""
