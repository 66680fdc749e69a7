"""Between the messages of RobustnessService and their values."""
