"""Recipes shipped with the program: a config is a YAML file that may include others."""
