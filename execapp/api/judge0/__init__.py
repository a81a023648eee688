"""The door for clients of Judge0 CE 1.14: its requests, replies and errors over our services.

Source of the format: Judge0's documentation and code (controllers and models). Decision 0043.
"""
