"""`python -m attractor.cli`."""

from attractor.cli import main

main()
