"""The stage between `compress` and `release`: the chosen candidate asked as it will be served, over HTTP."""
