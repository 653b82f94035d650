"""`python -m attractor.cli`."""

from attractor.cli import program

program()
