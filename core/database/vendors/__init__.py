"""Every supported database vendor. Another vendor is one more module and one more entry here."""

from core.database.vendors.base import Trouble, Vendor
from core.database.vendors.sqlite import SQLITE

VENDORS = {vendor.name: vendor for vendor in (SQLITE,)}

__all__ = ["VENDORS", "Trouble", "Vendor"]
