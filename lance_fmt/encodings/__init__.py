"""How streams of values become bytes: one file for each encoding, all of them named in `ENCODINGS`."""
