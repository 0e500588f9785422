"""Public suffixes: the domains under which strangers register names, so that no server may set cookies for all of them.

The list (publicsuffix.org, its private section included) comes with the package ``publicsuffixlist``, released as the
list changes. It is read when the first cookie names a domain.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from reqivo_core.cookie_scope import is_single_label


@cache
def _public_suffix_list() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def is_public_suffix(domain: str) -> bool:
    """Whether a domain belongs to nobody in particular: what ``CookieJar`` asks.

    Args:
        domain: In lower case, without dots at its ends; ASCII or not.

    Returns:
        Whether it is a top-level name, an address, or on the list.
    """
    return is_single_label(domain) or bool(_public_suffix_list().is_public(domain))
