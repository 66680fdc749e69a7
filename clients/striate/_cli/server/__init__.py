"""Commands about the server itself: its models, data sets, operations and health."""
