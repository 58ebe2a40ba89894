"""Alerts: `outbox` decides and stores, `retry_delivery` sends and retries, `jsonl`, `webhook` and `mqtt` are the sinks."""
