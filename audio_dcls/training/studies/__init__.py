"""Studies: one config, or several cases, trained over seeds."""
