"""One module per engine; ``benchmarks.engines.base.ENGINES`` names them all."""
