"""Run one submission in one tree, or one command in a cage. Limits in, outcome out; no Django."""
