"""Files and encoders: segments appear, are looked at, listed and deleted, below roots that must prove who they are."""
