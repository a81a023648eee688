"""Sign-in with django-allauth: adapters, forms, roles, records in the audit trail, addresses."""
