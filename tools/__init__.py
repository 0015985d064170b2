"""Tools around Vego, run by the command line: file inspector, statistics, demo and kernel warm-up."""
