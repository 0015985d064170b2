"""File formats beside each other: how each is written and read, and what they are given to hold."""
