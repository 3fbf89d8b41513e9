"""Keep user names, passwords and keys in addresses off the screen, out of logs and out of the pool."""

import re

_MASK = "***"
# Users write passwords as they are, so a slash, a question mark or an @ may stand in one. What looks like a first
# query parameter ends the search for the last @; without a colon or an @ before the first slash there is no login.
_LOGIN = re.compile(r"//(?=[^/?#]*[:@])(?:(?!\?[\w.-]+=).)*@")
# Cameras take them as parameters, too, some in the path (``/user=admin&password=x``, ``/user=admin_password=x_...``).
_PARAMETER = re.compile(
    r"((?:user|usr|login|account|pass|pas|pwd|psw|token|key|auth|secret|signature|credential)[\w.-]*?)"
    r"=.*?(?=&|_(?:password|channel|stream)=|$)",
    re.IGNORECASE,
)


def mask_credentials(url: str) -> str:
    """The URL with logins, and the values of parameters that are named like one, replaced.

    Rather too much is masked than too little: in ``http://host:80/a@b``, ``host:80/a`` could be a login.
    """
    return _PARAMETER.sub(rf"\1={_MASK}", _LOGIN.sub(f"//{_MASK}@", url, count=1))
