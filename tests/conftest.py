"""Tiers: a test belongs to the folder that it lies in; fixtures that several tiers share."""
