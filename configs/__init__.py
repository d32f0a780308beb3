"""Configs that are installed with the program: YAML files that can include other YAML files."""
