"""The options of each command. A file here imports what runs the command only when it runs."""
