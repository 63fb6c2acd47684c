"""Thinking: the plan of a DAG and the decision for each of its nodes. No disk, no process, no clock."""
