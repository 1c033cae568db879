"""Drivers and doubles that several tests share."""
