"""What `manage.py bench` measures: Stencil against the bare tools, side by side in one run."""
