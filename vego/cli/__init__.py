"""The command line `vego`: one file for each subcommand, `entry` runs them, `arguments` describes them."""

from vego.cli.entry import main

__all__ = ["main"]
