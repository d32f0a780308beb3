"""Large-kernel depthwise convolution, forward and backward, by the fastest exact method: `operator`."""
