"""Swapping the convolutions of any model for DCLS layers: `swap.plan_swap`."""
