"""Parts of neural nets: encoders, attention, losses and the training loop (torch)."""
