"""Accept each code of an authenticator app once.

allauth remembers a used code for one period of 30 seconds but accepts a code in three periods,
because a phone's clock may be off. Therefore the number of the last used period is kept with the
secret: a code of that period or an earlier one is refused.
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
    """Use a code. Return False if it is wrong, or if it or a later code was used before.

    If several processes claim the same code concurrently, one of them gets True.
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
    """Mark the code that proved a new app, and all earlier codes, as used."""
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
