"""What is proved about a network: stability certificates with their rates, and bounds."""
