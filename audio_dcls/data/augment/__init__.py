"""Random changes of training clips: waveforms in the workers, spectrograms and mixtures on the training device."""
