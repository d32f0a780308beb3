"""What the commands do: one module per command, imported when the command runs."""
