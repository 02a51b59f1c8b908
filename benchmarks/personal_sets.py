"""Texts whose personal data are known, span by span: sentence templates filled with made-up people, fixed seeds.

English: the 210 templates and 3,000 people of presidio-evaluator 0.3.2. Its card numbers are rounded in the file
(`5.54563E+15`) and it has no IBAN and no IP addresses, so those three are made here; telephone numbers, e-mail
addresses and social security numbers are the people's own. Chinese: the templates below, with the people's birthdays
and e-mail addresses. Check digits are computed here by another method than in the code under test.
"""

import csv
import io
import ipaddress
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from inputs import fetch_package, read_members

SEED = 20261125
RAW = "presidio_evaluator/data_generator/raw_data/"
Person = dict[str, str]


@dataclass(frozen=True)
class Example:
    """A text and its spans: group, start, end."""

    text: str
    spans: list[tuple[str, int, int]] = field(default_factory=list)


def luhn_digit(body: str) -> str:
    """The check digit by the table of doubled digits."""
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    total = sum(doubled[int(digit)] if place % 2 == 0 else int(digit) for place, digit in enumerate(body[::-1]))
    return str(-total % 10)


def id_check(body: str) -> str:
    """ISO 7064 MOD 11-2 by its recursion, not by the weights of GB 11643."""
    rest = 0
    for digit in body:
        rest = (rest + int(digit)) * 2 % 11
    return "0123456789X"[(12 - rest) % 11]


def iban(country: str, body: str) -> str:
    """The two check digits by long division of the digits, nine at a time."""
    digits = "".join(str("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter)) for letter in f"{body}{country}00")
    rest = 0
    for start in range(0, len(digits), 7):
        rest = int(f"{rest}{digits[start : start + 7]}") % 97
    return f"{country}{98 - rest:02d}{body}"


def digits(chance: random.Random, count: int) -> str:
    """That many random digits."""
    return "".join(chance.choices("0123456789", k=count))


def people() -> list[Person]:
    """The 3,000 made-up people."""
    table = read_members(fetch_package("presidio-evaluator"), prefix=f"{RAW}FakeName")
    return list(csv.DictReader(io.StringIO(next(iter(table.values())).decode("utf-8-sig"))))


def english_templates() -> list[str]:
    """The sentence templates, with line breaks where they write them as two characters."""
    table = read_members(fetch_package("presidio-evaluator"), prefix=f"{RAW}templates")
    text = next(iter(table.values())).decode("utf-8", "replace")
    return [line.strip().replace("\\n", "\n").replace("\\,", ",") for line in text.splitlines() if line.strip()]


def make_card(person: Person, chance: random.Random) -> str:
    """A card of the person's network, embossed or in one piece."""
    body = (f"5{chance.randint(1, 5)}" if person["CCType"] == "MasterCard" else "4") + digits(chance, 15)
    body = body[:15]
    number = body + luhn_digit(body)
    gap = chance.choice(("", " ", "-"))
    return gap.join(number[start : start + 4] for start in range(0, 16, 4))


def make_iban(person: Person, chance: random.Random) -> str:
    """An account in one of six countries, in groups of four or in one piece."""
    letters = "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4))
    country, body = chance.choice(
        [
            ("GB", letters + digits(chance, 14)), ("DE", digits(chance, 18)), ("FR", digits(chance, 23)),
            ("NL", letters + digits(chance, 10)), ("PL", digits(chance, 24)), ("CH", digits(chance, 17)),
        ]
    )  # fmt: skip
    number = iban(country, body)
    return (
        number if chance.random() < 0.5 else " ".join(number[start : start + 4] for start in range(0, len(number), 4))
    )


def make_ip(person: Person, chance: random.Random) -> str:
    """Four of five version 4, as the package's own generator does; one network of one machine left out."""
    if chance.random() < 0.8:
        return str(ipaddress.IPv4Address(chance.randint(1 << 24, (127 << 24) - 1)))
    return str(ipaddress.IPv6Address(chance.getrandbits(125) | 1 << 125))


def make_phone(person: Person, chance: random.Random) -> str:
    """The person's number, at home or (every other time) with the country code and without the trunk zero."""
    number = person["TelephoneNumber"]
    if chance.random() < 0.5:
        return number
    abroad = re.sub(r"^\(?0(\d*)\)?", r"\1", number).strip()
    return f"+{person['TelephoneCountryCode']} {abroad}"


PERSONAL: dict[str, tuple[str, Callable[[Person, random.Random], str]]] = {
    "credit_card_number": ("payment_card", make_card),
    "iban": ("iban", make_iban),
    "ip_address": ("ip", make_ip),
    "phone_number": ("phone", make_phone),
    "email": ("email", lambda person, chance: person["EmailAddress"]),
    "ssn": ("us_ssn", lambda person, chance: person["NationalID"]),
}
# what the package marks and no kind of ours stands for
NO_COUNTERPART = (
    "address, street_name, building_number, secondary_address, city, state, country, postcode, zipcode; person, name,"
    " first_name, last_name, prefix; organization, job; date_of_birth, date_time, day_of_week, year, age; nationality;"
    " url; us_driver_license"
)


def _plain(name: str, person: Person, chance: random.Random, licences: list[str]) -> str:
    """A value that is no personal data of ours: hard negatives among them (driver's licences, postcodes, dates)."""
    city = f"{person['City']}"
    plain = {
        "address": f"{person['StreetAddress']}\n{city}, {person['State']} {person['ZipCode']}",
        "age": person["Age"],
        "building_number": str(chance.randint(1, 9999)),
        "city": city,
        "country": person["CountryFull"],
        "date_of_birth": person["Birthday"],
        "date_time": chance.choice(("2019-03-14 15:09:26", "14.03.2019", "March 14, 2019", "03-14-2019 15:09")),
        "day_of_week": "Tuesday",
        "job": person["Occupation"],
        "organization": person["Company"],
        "postcode": person["ZipCode"],
        "secondary_address": f"Apt. {chance.randint(1, 999)}",
        "state_abbr": person["State"],
        "street_name": person["StreetAddress"],
        "url": f"https://www.{person['Domain']}/{chance.randint(10**6, 10**10)}",
        "us_driver_license": chance.choice(licences),
        "year": str(chance.randint(1900, 2026)),
        "zipcode": person["ZipCode"],
    }
    if name in plain:
        return plain[name]
    return person["Surname"] if "last_name" in name else person["GivenName"]


def fill(template: str, values: Callable[[str], tuple[str, str]]) -> Example:
    """Put a value in each `{{slot}}`; `values` gives the group (empty where it is no personal data) and the value."""
    parts: list[str] = []
    spans = []
    position = length = 0
    for match in re.finditer(r"\{\{(\w+)\}\}", template):
        literal = template[position : match.start()]
        group, value = values(match[1])
        parts += [literal, value]
        length += len(literal)
        if group:
            spans.append((group, length, length + len(value)))
        length += len(value)
        position = match.end()
    return Example("".join([*parts, template[position:]]), spans)


def english() -> list[Example]:
    """Each template with a slot of ours filled often enough for 300 spans of its group, each other one 15 times."""
    chance = random.Random(SEED)
    persons = people()
    americans = [person for person in persons if person["Country"] == "US"]
    table = read_members(fetch_package("presidio-evaluator"), prefix=f"{RAW}us_driver_licenses")
    licences = next(iter(table.values())).decode().split()[1:]
    templates = english_templates()
    slots = [name for template in templates for name in re.findall(r"\{\{(\w+)\}\}", template) if name in PERSONAL]
    made = []
    for template in templates:
        held = [name for name in re.findall(r"\{\{(\w+)\}\}", template) if name in PERSONAL]
        times = max([-(-300 // slots.count(name)) for name in held] or [15])
        for _ in range(times):
            person = chance.choice(americans if "ssn" in held else persons)

            def value(name: str, person: Person = person) -> tuple[str, str]:
                if name in PERSONAL:
                    group, make = PERSONAL[name]
                    return group, make(person, chance)
                return "", _plain(name, person, chance, licences)

            made.append(fill(template, value))
    return made


CHINESE_TEMPLATES = (
    "您好，我的身份证号是{{id}}，麻烦帮我查一下社保。",
    "身份证{{id}}，手机{{mobile}}，请核对。",
    "姓名：王芳，证件号码：{{id}}，联系电话：{{mobile}}。",
    "快递请放门口，收件人电话{{mobile}}，谢谢！",
    "有事打我手机{{mobile}}或者座机{{landline}}",
    "这款手机壳很好，{{mobile}}加微信发你链接",
    "卖家态度差，打{{mobile}}没人接，太失望了。",
    "退款请打到工行卡{{card}}，户名李强。",
    "银行卡号：{{card}}，开户行：招商银行北京分行",
    "收款账户{{card}}（建设银行），到账后短信通知{{mobile}}",
    "公司总机{{landline}}，传真{{landline}}。",
    "前台电话：{{landline}}，营业时间9:00-18:00",
    "简历发到{{email}}即可，也可以加微信{{mobile}}",
    "我的邮箱是{{email}}，请把发票发过来",
    "登录IP：{{ip}}，登录时间2024-03-05 08:15:32",
    "服务器{{ip}}无法连接，请运维同学看一下",
    "护照号码{{passport}}，签发地广东。",
    "持护照（{{passport}}）的旅客请走右侧通道",
    "客户{{id}}于2023年12月1日开户，预留号码{{mobile}}。",
    "联系我：{{wide_mobile}}，身份证：{{wide_id}}",
)
# nothing in these is personal data; each slot is made to look like it
CHINESE_NEGATIVES = (
    "订单号{{order18}}，预计3天内发货。",
    "身份证号{{bad_id}}校验失败，请重新输入。",
    "您的订单{{order11}}已签收，感谢购买。",
    "快递单号：{{order13}}，顺丰发出。",
    "运单号SF{{order13}}已揽收",
    "2024年3月5日至2024年12月31日，满300减40",
    "原价12999.00元，现价{{price}}元，省了不少！",
    "注册资本{{price}}万元，成立于20080808",
    "ISBN 978-7-{{isbn}}，定价59.00元",
    "版本号{{version}}，更新于20231012093015",
    "流水号{{order18}}，金额{{price}}元",
    "时间戳{{stamp}}，请求耗时0.123456789秒",
    "商品编号{{order11}}，库存10000000件",
    "卡号{{bad_card}}无效，请检查后重新输入",
    "邮编100084，海淀区中关村东路1号",
    "合同编号HT-2023-{{order11}}，甲方乙方各执一份",
    "型号XR-{{order13}}，序列号{{order18}}",
    "坐标116.397128,39.916527，海拔43.5米",
    "增值税发票代码{{order12}}，号码{{order8}}",
    "成交量1380000000股，成交额13912345678元",
)
_MOBILE_STARTS = (
    "130 131 132 133 134 135 136 137 138 139 145 147 150 151 152 153 155 156 157 158 159 166 170 171 173 175"
)
_MOBILE_STARTS += " 176 177 178 180 181 182 183 184 185 186 187 188 189 191 193 195 196 197 198 199"
_REGIONS = "110105 120101 130102 210102 220104 310104 320106 330106 340104 350203 370202 410105 420106 430104 440106"
_REGIONS += " 440305 450103 500103 510104 520103 530102 610113 620102 650104"
_AREAS = "010 020 021 022 023 024 025 027 028 029 0311 0371 0411 0512 0531 0571 0591 0755 0769 0871"
_WIDE = {ord(letter): ord(letter) + 0xFEE0 for letter in "0123456789X"}  # full-width forms


def make_id(person: Person, chance: random.Random) -> str:
    """A resident identity number with the person's birthday."""
    born = datetime.strptime(person["Birthday"], "%m/%d/%Y")
    body = f"{chance.choice(_REGIONS.split())}{born:%Y%m%d}{digits(chance, 3)}"
    return body + id_check(body)


def make_mobile(person: Person, chance: random.Random) -> str:
    """A mobile number: in one piece, grouped 3-4-4, or with +86."""
    number = chance.choice(_MOBILE_STARTS.split()) + digits(chance, 8)
    grouped = f"{number[:3]}{{0}}{number[3:7]}{{0}}{number[7:]}"
    forms = (number, number, number, grouped.format(" "), grouped.format("-"), f"+86 {number}", f"+86{number}")
    return chance.choice(forms)


def make_union_pay(person: Person, chance: random.Random) -> str:
    """A card of 16 or 19 digits that starts with 62."""
    body = "62" + digits(chance, chance.choice((13, 16)))
    number = body + luhn_digit(body)
    return number if chance.random() < 0.6 else " ".join(number[at : at + 4] for at in range(0, len(number), 4))


def make_landline(person: Person, chance: random.Random) -> str:
    """An area code and seven or eight digits."""
    area = chance.choice(_AREAS.split())
    local = chance.choice("2345678") + digits(chance, 7 if len(area) == 3 else chance.choice((6, 7)))
    return chance.choice((f"{area}-{local}", f"{area}-{local}转{chance.randint(100, 999)}", f"({area}){local}"))


def make_passport(person: Person, chance: random.Random) -> str:
    """An ordinary passport: E and eight digits, or EA to EH and seven; the older G and eight."""
    return chance.choice(
        ("E" + digits(chance, 8), "E" + chance.choice("ABCDEFGH") + digits(chance, 7), "G" + digits(chance, 8))
    )


CHINESE: dict[str, tuple[str, Callable[[Person, random.Random], str]]] = {
    "id": ("cn_resident_id", make_id),
    "wide_id": ("cn_resident_id", lambda person, chance: make_id(person, chance).translate(_WIDE)),
    "mobile": ("cn_mobile", make_mobile),
    "wide_mobile": (
        "cn_mobile",
        lambda person, chance: (chance.choice(_MOBILE_STARTS.split()) + digits(chance, 8)).translate(_WIDE),
    ),
    "card": ("payment_card", make_union_pay),
    "landline": ("phone", make_landline),
    "email": ("email", lambda person, chance: person["EmailAddress"]),
    "ip": ("ip", make_ip),
    "passport": ("passport", make_passport),
}


def _wrong(number: str, chance: random.Random) -> str:
    """A number with its last character, the check, put wrong."""
    return number[:-1] + chance.choice([digit for digit in "0123456789" if digit != number[-1]])


def _negative(name: str, person: Person, chance: random.Random) -> str:
    if name.startswith("order"):
        # an order number is the time and a count, or begins as a mobile number or a card does
        start = chance.choice(("20240305", "1", "13", "4", "62", "9"))
        return (start + digits(chance, 20))[: int(name[5:])]
    if name == "bad_id":
        return _wrong(make_id(person, chance), chance)
    if name == "bad_card":
        return _wrong(make_union_pay(person, chance).replace(" ", ""), chance)
    return {
        "price": str(chance.randint(10**2, 10**7)),
        "isbn": f"{digits(chance, 3)}-{digits(chance, 5)}-{digits(chance, 1)}",
        "version": ".".join(str(chance.randint(0, 30)) for _ in range(4)),
        "stamp": str(chance.randint(10**9, 2 * 10**9)) + digits(chance, chance.choice((0, 3))),
    }[name]


def chinese() -> list[Example]:
    """Each template 60 times, the negative ones as well."""
    chance = random.Random(SEED + 1)
    persons = people()
    made = []
    for template in (*CHINESE_TEMPLATES, *CHINESE_NEGATIVES):
        for _ in range(60):
            person = chance.choice(persons)

            def value(name: str, person: Person = person) -> tuple[str, str]:
                if name in CHINESE:
                    group, make = CHINESE[name]
                    return group, make(person, chance)
                return "", _negative(name, person, chance)

            made.append(fill(template, value))
    return made
