"""Reading and writing video: recordings, cameras, clocks, damage, pixels."""
