"""Telling: the run card and the terminal's story, made from one plan and one result."""
