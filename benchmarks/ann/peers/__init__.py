"""One file per library; see `base.PEERS`."""
