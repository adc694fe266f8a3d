"""The project's figures, each beside its peer in one run: what is compared runs in turns, and the ratio is what counts."""
