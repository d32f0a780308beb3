"""Training runs of the service: a queue on disk, processes that train, and readers of run folders."""
