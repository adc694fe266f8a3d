"""The project's figures, each beside its peer: what is compared takes turns in one run, and the ratio counts."""
