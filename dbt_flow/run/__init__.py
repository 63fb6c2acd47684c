"""Doing: one warm dbt that builds what was decided, watched over, and recorded node by node as it goes."""
