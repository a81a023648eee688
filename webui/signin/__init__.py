"""Sign-in: what django-allauth does for us, how it is recorded, and its addresses."""
