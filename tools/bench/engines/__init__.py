"""One module per engine; ``vego_tools.bench.engines.base.ENGINES`` names them all."""
