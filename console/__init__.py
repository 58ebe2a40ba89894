"""The report of a run, and the web console and HTTP API that `farsight serve` offers."""
