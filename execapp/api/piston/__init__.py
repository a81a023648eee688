"""The door for clients of Piston, version 2: its requests, replies and errors over our services.

Source of the format: the code of Piston's API (`api/src/api/v2.js`, `job.js`). Decision 0043.
"""
