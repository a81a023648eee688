"""The measures of `manage.py bench`: Stencil beside the bare tools, in one run."""
