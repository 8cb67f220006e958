"""The grammar of written numbers and their canonical form; used by the number kind and by nothing
that needs prose."""

import math
import re
import unicodedata
from fractions import Fraction

_LETTER = "A-Za-z_\u00c0-\u024f\u0370-\u052f"
"""Letters of scripts that put spaces between words: a digit glued behind one belongs to the word.
共12个 holds a number."""

_TENS = "千万萬亿億"
"""Chinese and Japanese powers of ten, which stand right behind the digits."""
_GAP = " '_\u00a0\u2009\u202f"
_UNSIGNED = rf"""
    (?: \d{{1,3}} (?:,\d{{3}})+ (?![,\d]) (?:\.\d+)?                 # 1,234,567.8
      | \d{{1,2}} (?:,\d{{2}})+ ,\d{{3}} (?![,\d]) (?:\.\d+)?        # 1,23,456
      | \d{{1,3}} (?: (?:\.\d{{3}})+ ,\d+ | (?:\.\d{{3}}){{2,}} ) (?![.,]?\d) # 1.234,5
      | \d{{1,3}} (?P<gap>[{_GAP}]) \d{{3}} (?:(?P=gap)\d{{3}})* (?![\d{_GAP}]*\d)  # 1 234
        (?:[.,]\d+)?
      | (?<![(\[]) \d+ ,\d+
      | \d+ (?:\.\d+)?
      | \.\d+ )
"""
_SIMPLE = r"(?: \d+ (?:\.\d+)? )"

# Every written number. Groups are told apart by their separators; a letter, a digit or a sign of a
# date
# or a version beside it makes it none. Only `\d+` and separated groups repeat, none inside another.
NUMERAL = re.compile(
    rf"""
    (?= [-+mMnN$€£¥₹.\d] )
    (?P<sign> (?<![{_LETTER}\d)\]}}%.^-]) [-+] (?=[$€£¥₹]?\s?\.?\d)
             | (?:(?<=\bis[ ])|(?<==[ ])) -[ ](?=[$€£¥₹]?\.?\d)
             | (?:(?<![\w)][ ])(?<![\w)])
                |(?<=\bis[ ])|(?<=was[ ])|(?<=[ ]be[ ])|(?<=[ ]of[ ])|(?<=[ ]to[ ])) [mM]inus\s+
             | \b[nN]egative\s+ )?
    (?: [$€£¥₹] \s? (?P<inner>-)? )?
    (?<![{_LETTER}\d^{_TENS}]) (?<!\^\{{) (?<!\d[.,:/']) (?<!\d[.,]\s-)
    (?: (?P<whole>\d+) (?:\s+|-|\s+and\s+) (?P<part>\d+ \s?/\s? \d+) (?![\d/]|\.\d)
      | (?P<numerator>{_SIMPLE}) \s?/\s? (?P<denominator>-?{_SIMPLE}) (?!\.?\d) (?!\s?/\s?\d)
      | (?P<ten>10) \s? \^ \s? \{{? (?P<tenth>-?\d+) \}}? (?!\s?\^)
      | (?P<number>{_UNSIGNED})
        (?: [eE](?P<exponent>[-+]?\d+) (?![{_LETTER}\d])
          | \s? (?:[x×*·]|\\times|\\cdot) \s? 10 \s? \^ \s? \{{? (?P<power>[-+]?\d+) \}}? )?
        (?: (?P<suffix>[kKMB]) (?![{_LETTER}\d]) )? )
    (?: [ -] (?P<scale>(?i:hundred|thousand|million|billion|trillion|lakh|crore)s?|mln|bn) \b
      | (?P<glued>bn\b|[{_TENS}]) )?
    (?! \d | :\d | \.\d | \s?\^ | ,\d | /\d+/\d )
    """,
    re.VERBOSE,
)

_SCALES = {
    "lakh": 5,
    "crore": 7,
    "mln": 6,
    "bn": 9,
    "千": 3,
    "万": 4,
    "萬": 4,
    "亿": 8,
    "億": 8,
    "hundred": 2,
    "thousand": 3,
    "million": 6,
    "billion": 9,
    "trillion": 12,
    "k": 3,
    "m": 6,
    "b": 9,
}
# A price is its number: the sign of the currency is dropped.
_CURRENCY = re.compile("[$€£¥₹]")
_MOST_DIGITS = 1000
_MOST_EXPONENT = 1000

_VULGAR = {
    sign: str(Fraction(unicodedata.numeric(sign)).limit_denominator(10))
    for sign in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅐⅑⅒"
}
# "1½" and "½": one character for a fraction, with a whole number before it or without.
_VULGAR_PATTERN = re.compile(f"(\\d)?\\s?([{''.join(_VULGAR)}])")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
# Exponents as characters of their own: "10³".
_SUPERSCRIPT_PATTERN = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
SYMBOLIC = "\ue000"
"""Stands for what is a number only by calculation (a root, pi, a factorial): no piece of it is the
answer."""

_PART = r"(?:\{\s{0,3}(-?[\d.]{1,40})\s{0,3}\}|(\d))"
# \frac{3}{4}, \frac34, \frac{1}2 and a whole number before it.
_LATEX_FRACTION = re.compile(rf"(?:(\d)\s{{0,3}})?(-?)\\[cdt]?frac\s{{0,3}}{_PART}\s{{0,3}}{_PART}")
_ROOT = re.compile(
    r"(?<![\w.*])\s?(?:\\sqrt\s{0,3}(?:\{\s{0,3}(\d{1,12})\s{0,3}\}|(\d))|√\s?\(?(\d{1,12})\)?"
    r"|sqrt\((\d{1,12})\))"
)
# Roots, recurring decimals, functions and constants, with a factor before it; 5!.
_SYMBOLIC = re.compile(
    r"(?:-?\d[\d.,]{0,40}\s?|[.])?(?:\\(?:sqrt|pi|overline|bar|dot|[dt]?binom|log|ln|sin|cos|tan|"
    r"infty|theta|alpha|sum|int|prod|over|lfloor|lceil|pm)(?![a-zA-Z])"
    r"(?:\s?[\[{][^\[\]{}]{0,40}[\]}]){0,2}(?:\s?\d{1,9})?"
    r"|\\[dt]?frac(?:\s?\{[^{}]{0,40}\}){2}|[√π∞±⌊⌈]\s?\(?\d{0,40}\)?)"
    r"|(?<![\d.,])\d{1,40}\s?!(?!=)"
)
# The same without LaTeX, and recurring decimals: 2*sqrt(3), ln 2, log_2 8, 3pi, 0.(3), +/- 3.
_FUNCTION = re.compile(
    r"(?:-?\d[\d.,]{0,40}\s?\*?\s?)?(?:"
    r"\b(?:sqrt|log|ln|sin|cos|tan|exp|gcd|lcm|max|min)_?\d{0,3}\s?\([^()\n]{0,40}\)?"
    r"|\bln\s\d{1,40}"
    r"|\blog_?\d{1,3}\s\d{1,40}|(?<![a-zA-Z])pi\b)|\d?\.\d{0,40}\(\d{1,40}\)|\+/-\s?\d{1,40}"
)
# A minus before a bracket: -(5), -($3/4).
_NEGATED = re.compile(r"(?<![\w)\]}])(?<![\d)\]}]\s)-\s?\(\s?([$€£¥₹]?[\d.,/ ]{1,20})\)")
# A dash right before a figure and behind no other is its sign: it is a range elsewhere.
_MINUS = re.compile(r"(?<![\w)\]}%.])(?<![\d)\]}%]\s)[–‒⁻➖](?=[$€£¥₹(]?\.?\d)")
# Of -US$5 the letters.
_COUNTRY = re.compile(r"(?<![\w)])-[A-Z]{1,3}(?=\$\s?\d)")
_MONEY = str.maketrans(dict.fromkeys("₽₩₺₫฿₦₱₴₸", "$"))
# Degrees are a unit: 45^\circ, 45°.
_DEGREES = re.compile(r"\s?\^\s?\{?\s?\\circ\s?\}?|°")
_LATEX_NOISE = re.compile(
    r"\\(?:[,;:! $%]|left|right|text\{([^{}]{0,80})\}|mathrm\{([^{}]{0,80})\})|\{,\}"
)


def spell_out(text: str) -> str:
    """Return the text with vulgar fractions, raised digits and the usual LaTeX of numbers in plain
    characters."""
    if not text.isascii():
        text = _MINUS.sub("-", text.translate(_MONEY))
        text = _VULGAR_PATTERN.sub(lambda m: (f"{m[1]} " if m[1] else "") + _VULGAR[m[2]], text)
        text = _SUPERSCRIPT_PATTERN.sub(lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
        text = _DEGREES.sub("", text)
    if "\\" in text or "{,}" in text:
        text = _LATEX_NOISE.sub(_plain_latex, _DEGREES.sub("", text))
        text = _LATEX_FRACTION.sub(_plain_fraction, text)
    if "$" in text:
        text = _COUNTRY.sub("-", text)
    if "\\" in text or "√" in text or "sqrt(" in text:
        text = _ROOT.sub(_plain_root, text)
    if "\\" in text or "!" in text or not text.isascii():
        # Twice: a root inside of a fraction makes the fraction symbolic too.
        text = _SYMBOLIC.sub(SYMBOLIC, _SYMBOLIC.sub(SYMBOLIC, text))
    if "(" in text:
        text = _NEGATED.sub(r"-\1", text)
    if "(" in text or "pi" in text or "ln " in text or "log" in text or "+/-" in text:
        text = _FUNCTION.sub(SYMBOLIC, text)
    return text


def _plain_fraction(found: re.Match[str]) -> str:
    top, bottom = found[3] or found[4], found[5] or found[6]
    minus = (found[2] == "-") ^ top.startswith("-") ^ bottom.startswith("-")
    whole = f"{found[1]} " if found[1] else ""
    return f"{whole}{'-' if minus else ''}{top.lstrip('-')}/{bottom.lstrip('-')}"


def _plain_root(found: re.Match[str]) -> str:
    square = int(found[1] or found[2] or found[3] or found[4])
    root = math.isqrt(square)
    return f" {root}" if root * root == square else found[0]


def _plain_latex(found: re.Match[str]) -> str:
    kept = {"\\$": "$", "\\%": "%", "{,}": ","}
    return (
        found[1]
        or found[2]
        or kept.get(found[0], "" if found[0] in ("\\,", "\\!", "\\left", "\\right") else " ")
    )


def canonical(found: re.Match[str]) -> str | None:
    """Return the canonical form of a match of NUMERAL; None where it is no number (5/0, an absurd
    exponent)."""
    digits = found["number"] or ("1" if found["ten"] else None)
    minus = found["inner"] or (found["sign"] or "").strip().lower() in ("-", "minus", "negative")
    if len(found[0]) > _MOST_DIGITS and not (digits and digits.isdigit()):
        return None
    scale = (found["scale"] or found["glued"] or found["suffix"] or "").lower()
    if scale in ("m", "b") and not _CURRENCY.search(found[0]):
        scale = ""
    shift = _SCALES.get(scale.removesuffix("s"), 0)
    if digits is None:
        over = found["numerator"] or found["part"].partition("/")[0]
        under = found["denominator"] or found["part"].partition("/")[2]
        if not (bottom := Fraction(under.strip())):
            return None
        number = (Fraction(over.strip()) / bottom + int(found["whole"] or 0)) * 10**shift
        return from_fraction(-number if minus else number)
    power = found["exponent"] or found["power"] or found["tenth"] or "0"
    shift += int(power[:6])
    if not shift and digits.isdigit():
        plain = digits.lstrip("0") or "0"
        return f"-{plain}" if minus and plain != "0" else plain
    if abs(shift) > _MOST_EXPONENT:
        return None
    number = Fraction(_point_notation(digits)) * Fraction(10) ** shift
    return from_fraction(-number if minus else number)


def _point_notation(digits: str) -> str:
    """Return a number without grouping and with a point before the decimals."""
    digits = digits.translate({ord(gap): None for gap in _GAP})
    comma, point = digits.rfind(","), digits.rfind(".")
    if comma < 0:
        return digits.replace(".", "") if digits.count(".") > 1 else digits
    if point > comma:
        return digits.replace(",", "")
    if point >= 0:
        return digits.replace(".", "").replace(",", ".")
    grouped = digits.count(",") > 1 or (
        len(digits) - comma == 4 and not digits.startswith("0") and comma <= 3
    )
    return digits.replace(",", "" if grouped else ".")


def from_fraction(number: Fraction) -> str:
    """Return the shortest exact decimal, or the reduced fraction where the decimal does not end."""
    rest, places = number.denominator, 0
    for factor in (2, 5):
        count = 0
        while rest % factor == 0:
            rest, count = rest // factor, count + 1
        places = max(places, count)
    if rest != 1:
        return f"{number.numerator}/{number.denominator}"
    scaled = str(abs(number.numerator) * 10**places // number.denominator).rjust(places + 1, "0")
    whole, decimals = scaled[: len(scaled) - places], scaled[len(scaled) - places :]
    return f"{'-' if number < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


def value(number: str) -> Fraction | None:
    """Return a canonical number as a fraction; None where it is too long to calculate with."""
    return Fraction(number) if len(number) <= _MOST_DIGITS else None
