"""Registers the step decorator of ``run --with dbt_flow_trigger`` with Metaflow. Every ``import metaflow`` reads this file."""

STEP_DECORATORS_DESC = [("dbt_flow_trigger", ".dbt_flow_trigger.DbtFlowTriggerDecorator")]
