"""The fragility table: the gain and the verdict under other choices than the registered ones."""
