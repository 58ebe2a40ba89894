"""What people and programs watch a run by: metrics, log, progress, summary."""
