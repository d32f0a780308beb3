"""Training runs and studies, and measuring them."""
