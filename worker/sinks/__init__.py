"""Encoded packets to a destination: one file per kind of sink."""
