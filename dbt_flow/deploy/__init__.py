"""Schedulers: what is deployed, what should be, and the way from one to the other."""
