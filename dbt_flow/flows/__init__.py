"""Doors into Metaflow. ``dag.py`` is the one flow file for every DAG; Metaflow packages this folder with it."""
