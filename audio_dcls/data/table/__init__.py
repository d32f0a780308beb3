"""Tables of clips: columns, CSV files, and the index that is mapped into memory."""
