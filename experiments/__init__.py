"""One file per paper: its experiment at the scale of a laptop, its table beside ours."""
