"""Third-party detectors and recognisers behind the same contract, and multi-scale search."""
