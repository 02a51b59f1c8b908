"""Keys and passwords planted where people leave them: how many are found, and what is called one that is none.

    python benchmarks/secret_keys.py        # a minute

Keys are drawn at random in the forms that their issuers document, private keys are real ones made by `cryptography`
(and so others in each run). They stand in configuration, source, logs, chat and Chinese prose. Beside them stands what
looks like a key and is none: digests, UUIDs, integrity hashes, images in base 64, public keys, stand-ins, names of
variables. The forms here are written from the issuers' pages and not taken from the code under test. Then 4 MB of real
source (the standard library that runs this script), which holds no secret: every alarm there is false. Writes
results/secret_keys.json.
"""

import base64
import hashlib
import random
import string
import sysconfig
import uuid
from collections.abc import Callable
from pathlib import Path

import polars as pl
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from results_file import write_results

from modelyard.data.personal.find import find_personal
from modelyard.data.rules import SECRET_KINDS
from modelyard.evidence.interval import Interval, at_least, at_most
from modelyard.evidence.judge import judge
from modelyard.evidence.proportion import wilson
from modelyard.evidence.report import Measurement

SEED = 20261126
EACH = 200
SOURCE_BYTES = 4_000_000
PLACES = (
    "{name}={value}",
    '{{"{name}": "{value}", "region": "eu-west-1"}}',
    "client = Client({name}='{value}')  # rotate monthly",
    "2026-03-01 10:11:12 INFO started with {name}: {value}",
    "你好，{name}：{value}，麻烦不要外传。",
)
STAND_INS = ("YOUR_API_KEY_HERE", "your-token-here", "changeme-changeme-now", "placeholder_value", "EXAMPLE")
WORDS = ("auth", "token", "get", "request", "session", "http", "url", "xml", "header", "user", "base", "config", "from")
Draw = random.Random


def letters(chance: Draw, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """That many letters of the alphabet."""
    return "".join(chance.choices(alphabet, k=count))


def token(chance: Draw) -> str:
    """A JSON web token (RFC 7519) with random claims and signature."""
    parts = [b'{"alg":"HS256","typ":"JWT"}', f'{{"sub":"{chance.getrandbits(40)}","iat":1}}'.encode()]
    parts.append(chance.randbytes(32))
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def variable(chance: Draw) -> str:
    """What a programmer calls something: three to five words in one of five styles."""
    words = chance.choices(WORDS, k=chance.randint(3, 5))
    camel = words[0] + "".join(word.capitalize() for word in words[1:])
    acronyms = words[0] + "".join(word.upper() if chance.random() < 0.5 else word.capitalize() for word in words[1:])
    mixed = "_".join(word.upper() if chance.random() < 0.5 else word for word in words)
    return chance.choice(("_".join(words), "_".join(words).upper(), camel, acronyms, mixed))


def private_key(chance: Draw) -> str:
    """A real private key in PEM; keys of RSA are slow to make, so one of a few is used."""
    made = (ed25519.Ed25519PrivateKey.generate, lambda: ec.generate_private_key(ec.SECP256R1()), lambda: _RSA)
    key = chance.choice(made)()
    form = serialization.PrivateFormat.PKCS8 if chance.random() < 0.5 else serialization.PrivateFormat.OpenSSH
    encoding = serialization.Encoding.PEM
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode().strip()


_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PLANTED: dict[str, tuple[str, Callable[[Draw], str]]] = {
    "AWS": ("aws_access_key_id", lambda c: "AKIA" + letters(c, 16, string.ascii_uppercase + "234567")),
    "Alibaba Cloud": ("AccessKeyId", lambda c: "LTAI5t" + letters(c, 18)),
    "Tencent Cloud": ("SecretId", lambda c: "AKID" + letters(c, 32)),
    "GitHub": ("GH_TOKEN", lambda c: "ghp_" + letters(c, 36)),
    "GitLab": ("CI_TOKEN", lambda c: "glpat-" + letters(c, 20)),
    "Google": ("maps_key", lambda c: "AIza" + letters(c, 35)),
    "Hugging Face": ("HF_TOKEN", lambda c: "hf_" + letters(c, 34)),
    "OpenAI": ("OPENAI_API_KEY", lambda c: "sk-proj-" + letters(c, 64)),
    "Slack": ("bot", lambda c: f"xoxb-{c.randrange(10**11, 10**12)}-{c.randrange(10**11, 10**12)}-{letters(c, 24)}"),
    "Stripe": ("stripe", lambda c: "sk_live_" + letters(c, 24)),
    "npm": ("_authToken", lambda c: "npm_" + letters(c, 36)),
    "JSON web token": ("bearer", token),
    "private key": ("key", private_key),
    "password, 20 random characters": ("password", lambda c: letters(c, 20)),
    "密码, 20 random characters": ("密码", lambda c: letters(c, 20)),
    "secret, 40 hexadecimal digits": ("client_secret", lambda c: c.randbytes(20).hex()),
    "password in an address": ("DATABASE_URL", lambda c: f"postgres://app:{letters(c, 14)}@db.internal:5432/shop"),
}
NONE: dict[str, tuple[str, Callable[[Draw], str]]] = {
    "commit": ("commit", lambda c: c.randbytes(20).hex()),
    "digest": ("sha256", lambda c: hashlib.sha256(c.randbytes(8)).hexdigest()),
    "UUID": ("request_id", lambda c: str(uuid.UUID(int=c.getrandbits(128), version=4))),
    "integrity": ("integrity", lambda c: "sha512-" + base64.b64encode(c.randbytes(64)).decode()),
    "image": ("src", lambda c: "data:image/png;base64," + base64.b64encode(c.randbytes(120)).decode()),
    "public key": ("pub", lambda c: _public(c)),
    "stand-in": ("api_key", lambda c: f"{c.choice(STAND_INS)}{c.choice(('', '-', '_'))}{'x' * c.randrange(4, 24)}"),
    "name": ("token", lambda c: variable(c)),
    "address without password": ("url", lambda c: f"https://example.com/{letters(c, 12)}?page={c.randrange(99)}"),
}


def _public(chance: Draw) -> str:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode().strip()


def spans(texts: list[str]) -> dict[int, list[tuple[int, int]]]:
    """Row -> start and end of every secret found in it."""
    rows = pl.DataFrame({"row": range(len(texts)), "text": texts})
    found: dict[int, list[tuple[int, int]]] = {}
    for row, kind, start, length in find_personal(rows).select("row", "kind", "start", "length").iter_rows():
        if kind in SECRET_KINDS:
            found.setdefault(row, []).append((start, start + length))
    return found


def source_texts() -> list[str]:
    """Modules of the standard library, whole, until there are enough bytes."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        texts.append(path.read_text(encoding="utf-8", errors="replace"))
        size += path.stat().st_size
        if size >= SOURCE_BYTES:
            break
    return texts


def main() -> None:
    """Plant, look, judge, write."""
    chance = random.Random(SEED)
    texts, truth = [], []
    for group, (name, draw) in [*PLANTED.items(), *NONE.items()]:
        for number in range(EACH):
            value = draw(chance)
            before, after = PLACES[number % len(PLACES)].format(name=name, value="\0").split("\0")
            texts.append(before + value + after)
            secret = value.split("@")[0].removeprefix("postgres://app:")  # of an address the password alone
            start = len(before) + value.index(secret)
            truth.append((group, start, start + len(secret)))
    found = spans(texts)
    verdicts, measurements = [], []
    hits = alarms = 0
    for group in [*PLANTED, *NONE]:
        rows = [row for row, one in enumerate(truth) if one[0] == group]
        right = 0
        for row in rows:
            _, start, end = truth[row]
            inside = [one for one in found.get(row, []) if one[0] <= start and end <= one[1]]
            right += bool(inside)
            alarms += len(found.get(row, [])) - len(inside)
        if group in PLANTED:
            hits += right
            recall = wilson(right, len(rows))
            verdicts.append(judge(recall, at_least(0.95), rule="recall", subject=group))
        else:
            false = sum(row in found for row in rows)
            rate = wilson(false, len(rows))
            measurements.append(Measurement(name="false_alarms", subject=group, interval=rate))
    verdicts.append(judge(wilson(hits, hits + alarms), at_least(0.95), rule="precision", subject="all planted"))
    code = source_texts()
    in_code = sum(len(one) for one in spans(code).values())
    megabytes = sum(len(text.encode()) for text in code) / 1e6
    rate = Interval.exact(round(in_code / megabytes, 3), n=in_code, unit="alarms/MB")
    verdicts.append(judge(rate, at_most(1), rule="alarms_in_source", subject=f"{megabytes:.1f} MB of Python"))
    parameters = {"each": EACH, "seed": SEED, "places": len(PLACES), "modules": len(code)}
    notes = ["a secret is found where a finding covers it whole; any other finding is a false alarm"]
    print(
        write_results("secret_keys", verdicts=verdicts, measurements=measurements, parameters=parameters, notes=notes)
    )
    for verdict in verdicts:
        print(verdict.outcome, verdict.rule, verdict.subject, verdict.reason)
    for one in measurements:
        print(one.name, one.subject, one.interval.estimate)


if __name__ == "__main__":
    main()
