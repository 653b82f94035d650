"""The HTML report: one self-contained page with inline figures, no scripts and no network.

Here stand drawing and page only; what a page says stands beside the study that it shows.
"""
