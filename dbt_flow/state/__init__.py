"""Remembering: what is kept between runs, behind one small store protocol."""
