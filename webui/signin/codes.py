"""An authenticator app's code is good once.

allauth remembers a used code for one period of 30 seconds, while a code is accepted in three of
them (a telephone's clock may be off). What counts here is the number of the period, kept with the
secret: of each period one code is taken, and none of a period before one that was taken.
"""

import time

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa import app_settings
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth
from allauth.mfa.utils import decrypt
from django.db import transaction

LAST = "last_period"


# Decision 0023: a code counts once.
def claim(*, authenticator: Authenticator, code: str) -> bool:
    """Take a code that is right; False when it, or a later one, was taken before.

    Of several processes that ask at the same time one gets True.
    """
    with transaction.atomic():
        row = Authenticator.objects.select_for_update().get(pk=authenticator.pk)
        taken = row.data.get(LAST, -1)
        period = next((each for each in _periods(row, code) if each > taken), None)
        if period is None:
            return False
        row.data[LAST] = period
        row.save(update_fields=["data"])
    return True


def begin(*, authenticator: Authenticator) -> None:
    """A new app: the code that proved it, and those before it, are used."""
    authenticator.data[LAST] = int(time.time()) // app_settings.TOTP_PERIOD
    authenticator.save(update_fields=["data"])


def _periods(row: Authenticator, code: str) -> list[int]:
    secret = decrypt(row.data["secret"])
    return [
        period
        for period in auth.yield_hotp_counters_from_time()
        if compare_user_code(
            actual=code, expected=auth.format_hotp_value(auth.hotp_value(secret, period))
        )
    ]
