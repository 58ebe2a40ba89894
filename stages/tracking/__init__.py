"""Tracking of small faces: ByteTrack with matching by distance, and the lost-track budget."""
