"""What a network will not do, proved."""
