"""Alerts: `outbox` decides and stores them, `delivery` sends them, `jsonl`, `webhook` and `mqtt` are the sinks."""
