"""Judging an encoder by a protocol: gates, records, where a score comes from."""
