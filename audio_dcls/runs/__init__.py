"""The folder of a run, and what can be done with it: finding its model, measuring it."""
