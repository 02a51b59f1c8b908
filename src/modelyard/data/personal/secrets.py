"""Keys and passwords: prefixes that issuers document, PEM blocks, and random values that a name gives away."""

import re
from itertools import pairwise

from modelyard.data.personal.checks import entropy_bits

# Issuer -> its documented form. No look-around: the same text is a Rust pattern that finds the candidates.
API_KEYS = {
    "Alibaba Cloud": r"LTAI[A-Za-z0-9]{12,26}",
    "Anthropic": r"sk-ant-[a-z0-9]{3,10}-[A-Za-z0-9_-]{20,120}",
    "AWS": r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
    "Databricks": r"dapi[0-9a-f]{32}",
    "DigitalOcean": r"do[opr]_v1_[0-9a-f]{64}",
    "GitHub": r"gh[opsur]_[A-Za-z0-9]{36,255}",
    "GitHub fine-grained": r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
    "GitLab": r"glpat-[A-Za-z0-9_-]{20,50}",
    "Google": r"AIza[A-Za-z0-9_-]{35}",
    "Google OAuth": r"GOCSPX-[A-Za-z0-9_-]{28}",
    "Hugging Face": r"hf_[A-Za-z0-9]{34,40}",
    "JSON web token": r"eyJ[A-Za-z0-9_-]{10,2000}\.eyJ[A-Za-z0-9_-]{10,4000}\.[A-Za-z0-9_-]{20,1000}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "OpenAI": r"sk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{32,200}",
    "PyPI": r"pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,300}",
    "SendGrid": r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
    "Slack": r"xox[abeoprs]-[A-Za-z0-9-]{20,200}",
    "Slack webhook": r"hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,30}",
    "Stripe": r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,250}",
    "Tencent Cloud": r"AKID[A-Za-z0-9]{32}",
}
KEY = "|".join(API_KEYS.values())
_NAMES = (
    "api[_-]?key|access[_-]?key|secret|token|passw(?:or)?d|passwd|pwd|credential|private[_-]?key|auth[_-]?key"
    "|account[_-]?key|密码|口令|密钥|令牌|密碼|金鑰"
)
_VALUE = r"[A-Za-z0-9+/_=.~@$!%^&*#-]"
_NAMED = rf"""(?i)(?:{_NAMES})[0-9A-Za-z_-]{{0,20}}["'”’]?[ \t]{{0,3}}(?:=>|:=|[=:：])[ \t]{{0,3}}["'“‘]?"""  # noqa: RUF001
ASSIGNMENT = rf"{_NAMED}{_VALUE}{{16,200}}"
CREDENTIAL_URL = r"[a-z][a-z0-9+.-]{1,15}://[A-Za-z0-9_.%-]{0,64}:[^\s:/@]{3,128}@[A-Za-z0-9.-]{3,253}"
PEM = r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"

_ASSIGNED = re.compile(rf"{_NAMED}({_VALUE}{{16,200}})")
_PEM_BODY = re.compile(
    r"(?:[A-Za-z0-9+/=\s:,.()\\]|-(?!----)){0,20000}-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----"
)
_PEM_LOOSE = re.compile(r"[A-Za-z0-9+/=\s\\]{0,20000}")
_DOTTED_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_STAND_INS = frozenset({"pass", "password", "passwd", "pwd", "pw", "secret", "xxx"})
_WEB_PATH = re.compile(r"[\w-]+(?:\.[\w-]+)*\.[a-z]{2,6}/")
_HEX = re.compile(r"[0-9a-f]+|[0-9A-F]+")
_PLACEHOLDER = re.compile(r"example|placeholder|changeme|your[_-]|x{6}|\*{4}|\.{3}|1234567890|abcdef", re.IGNORECASE)
# A random hexadecimal string of 32 has 3.66 +- 0.15 bits per character, a random base-64 one of 20 has 4.0 +- 0.15;
# English words written together have 3.0 to 3.6 at these lengths.
LEAST_BITS = 3.5
LEAST_BITS_HEX = 3.0
_LEAST_BITS_KEY = 2.5  # behind a known prefix it only tells `AAAA...` from a key


def is_key(text: str) -> bool:
    """Whether what follows a known prefix can be a key: no stand-in such as `...EXAMPLE`, no name in small letters."""
    plain = text.islower() and not any(letter.isdigit() for letter in text)
    return not plain and not _PLACEHOLDER.search(text) and entropy_bits(text[4:]) >= _LEAST_BITS_KEY


def secret_value(text: str, end: int, token: str) -> tuple[int, int] | None:
    """Start and end of the value in an assignment that ends at `end`, if the value looks random."""
    match = _ASSIGNED.fullmatch(token)
    if match is None:
        return None
    value = match[1].rstrip(".,!")
    if text[end : end + 1] in ("(", "[", "<"):  # a call or an index, not a value
        return None
    if not _looks_random(value):
        return None
    start = end - len(match[1])
    return start, start + len(value)


def _looks_random(value: str) -> bool:
    digits = sum(letter.isdigit() for letter in value)
    letters = sum(letter.isalpha() for letter in value)
    if (
        (digits < 2 and not _mixes_cases(value))
        or letters < 2
        or _PLACEHOLDER.search(value)
        or _DOTTED_NAME.fullmatch(value)
        or _WEB_PATH.match(value)
    ):
        return False
    least = LEAST_BITS_HEX if _HEX.fullmatch(value) else LEAST_BITS
    return entropy_bits(value) >= least


def _mixes_cases(value: str) -> bool:
    """Whether capitals stand as in random letters: some side by side, and the case changes every other time.

    In a name of several words no two capitals meet, one with acronyms changes less than every third time, and many
    names have joints.
    """
    cases = [letter.isupper() for letter in value if letter.isalpha()]
    pairs = list(pairwise(cases))
    changes = sum(one != other for one, other in pairs)
    return not {"_", "-"} & set(value) and (True, True) in pairs and 3 * changes >= len(pairs)


def private_key_end(text: str, header_end: int) -> int:
    """Where a PEM block (RFC 7468) ends: at its END line, or where the base-64 lines stop if that was cut off."""
    match = _PEM_BODY.match(text, header_end) or _PEM_LOOSE.match(text, header_end)
    return match.end() if match else header_end


def url_password(text: str, start: int, end: int) -> tuple[int, int] | None:
    """Start and end of the password in `scheme://user:password@host`, unless it only says that one stands there."""
    colon = text.index(":", text.index("://", start, end) + 3, end)
    at = text.index("@", colon, end)
    password = text[colon + 1 : at]
    if password.lower() in _STAND_INS or password[0] in "<{[$%":
        return None
    return colon + 1, at
