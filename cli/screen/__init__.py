"""What the commands print: tables, bars, messages."""
