"""Parts of nets over sequences, each in its own room, and the loop that trains them; needs torch.

An encoder takes (b, L, p) to (b, L, h), and encoders can follow each other; a pooling takes their
states to one (b, h) and, where it weighs the steps, their weights (b, L). Steps are oldest first.
"""
