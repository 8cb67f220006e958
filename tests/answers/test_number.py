import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cotdistill.answers.number import Number
from tests.blow_up import no_blow_up

NUMBER = Number()

WRITINGS = [
    ("12", "12"),
    ("1,234", "1234"),
    ("1 234", "1234"),
    ("1'234", "1234"),
    ("1.234,5", "1234.5"),
    ("1.234.567", "1234567"),
    ("1,23,456", "123456"),
    ("1,5", "1.5"),
    ("-5", "-5"),
    ("−5", "-5"),
    ("minus 5", "-5"),
    ("negative 7", "-7"),
    ("$1,200.50", "1200.5"),
    ("-$5", "-5"),
    ("$-5", "-5"),
    ("5 €", "5"),
    ("EUR 1.234,50", "1234.5"),
    ("12%", "12"),
    ("3/4", "0.75"),
    ("1/3", "1/3"),
    ("1 1/2", "1.5"),
    ("½", "0.5"),
    ("2½", "2.5"),
    (r"\frac{3}{4}", "0.75"),
    ("1.2e5", "120000"),
    ("1.2E-3", "0.0012"),
    ("1.2 × 10^5", "120000"),
    (r"1.2 \times 10^{5}", "120000"),
    ("1.2×10⁵", "120000"),
    ("2.5 million", "2500000"),
    ("٣٤٫٥", "34.5"),
    ("１２", "12"),
    ("१२३", "123"),
    ("共12个", "12"),
    ("004.50", "4.5"),
    (".5", "0.5"),
    ("-0", "0"),
    ("5kg", "5"),
    ("25 cm^2", "25"),
    ("25 cm²", "25"),
    ("1_000", "1000"),
    (r"\boxed{x = 1{,}234}", "1234"),
    ("12.", "12"),
    ("Rs.5", "5"),
    ("20-foot", "20"),
]
SENTENCES = [
    ("10 - 3 = 7", "7"),
    ("The answer is 10 - 3 = 7.", "7"),
    ("The answer is 5 apples + 7 apples = 12 apples, of 30.", "12"),
    ("She has 5. The answer is 12 out of 20.", "12"),
    ("The answer is 12 (since 3 * 4 = 12).", "12"),
    ("The answer is twelve.", "12"),
    ("The answer is one hundred and five apples.", "105"),
    ("The answer is not 5 but 7.", "7"),
    ("#### 42", "42"),
    (" 3 + 4 is 7 --> 7", "7"),
    ("Answer: **42**", "42"),
    ("The answer is 12.\nThe answer is", "12"),
    (r"So 5, thus \boxed{12} and 3 are left", "12"),
    (r"\boxed{3} then The answer is 4", "4"),
    ("It costs 9 dollars on the 3rd day.", "9"),
    ("1. First, add 4 and 5 to get 9.\n2. Then stop.", "9"),
    ("<think>maybe 5</think>The answer is 7", "7"),
    ("The answer is 5.\n\nQ: And 3 more?\nA: The answer is 8.", "5"),
    ("La respuesta es 1.234,5", "1234.5"),
    ("答案是12", "12"),
]
NOTHING = [
    "",
    "H2O",
    "3:15",
    "1/2/2021",
    "1.2.3",
    "2^10",
    "1,2,3",
    "(3,4)",
    "rate 5/0",
    "1e999999999",
    "The answer is unknown.",
    "I have 5. The answer is unknown.",
    "So 12. The answer is",
    "The answer is one of them",
    "The answer is 5 or so minus x + 3 - 2",
]


@pytest.mark.parametrize(("text", "expected"), WRITINGS + SENTENCES)
def test_reads(text: str, expected: str) -> None:
    assert NUMBER.extract(text) == expected


@pytest.mark.parametrize("text", NOTHING[:-1])
def test_holds_no_number(text: str) -> None:
    assert NUMBER.extract(text) is None


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("18", "18.00", True),
        ("$1,234", "1234.0", True),
        ("1/3", "0.3333333", True),
        ("5/6", "0.8333333333333334", True),
        ("0.083333", "1/12", True),
        ("1000000", "1000001", False),
        ("0.000000001", "0.000000002", False),
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("50", "0.5", False),
        (None, None, False),
        (None, "1", False),
        ("many", "many", False),
        ("5 apples", "5", True),
        ("0", "-0", True),
        ("0.83", "5/6", False),
    ],
)
def test_same(answer: str | None, gold: str | None, expected: bool) -> None:
    assert NUMBER.same(answer, gold) is expected
    assert NUMBER.same(gold, answer) is expected


def test_caller_markers_come_first() -> None:
    assert NUMBER.extract("Result: 3 of 7. The answer is 5", markers=("Result:",)) == "3"
    assert NUMBER.extract("no marker 4 here", markers=("Result:",)) == "4"


whole_numbers = st.integers(min_value=-(10**12), max_value=10**12)
_DIGITS = [
    "0123456789",
    "٠١٢٣٤٥٦٧٨٩",
    "०१२३४५६७८९",
    "０１２３４５６７８９",
    "০১২৩৪৫৬৭৮৯",
    "๐๑๒๓๔๕๖๗๘๙",
]
_PLAIN = ["{}", "${}", "{} apples", "{}%", "{} €", "about {} km", "**{}**", r"\boxed{{{}}}", "{}."]


@given(
    whole_numbers,
    st.sampled_from(["", ",", " ", "'", "\u202f", "_"]),
    st.sampled_from(_DIGITS),
    st.sampled_from(_PLAIN),
    st.sampled_from(
        ["", "She had 3, then 4 more. The answer is ", "So 8 + 1 = 9.\n#### ", "x -->"]
    ),
)
def test_any_whole_number_comes_back(
    number: int, separator: str, digits: str, form: str, lead: str
) -> None:
    written = f"{number:,}".replace(",", separator).translate(str.maketrans("0123456789", digits))
    assert NUMBER.extract(lead + form.format(written)) == str(number)


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=4, allow_nan=False),
    st.sampled_from(["{:,}", "{}", "{:e}"]),
)
def test_any_decimal_comes_back(number: object, form: str) -> None:
    assert NUMBER.same(NUMBER.extract(f"The answer is {form.format(number)}."), str(number))


@given(st.integers(-999, 999), st.integers(1, 999))
def test_any_fraction_comes_back(top: int, bottom: int) -> None:
    found = NUMBER.extract(f"The answer is {top}/{bottom}.")
    assert NUMBER.same(found, str(top / bottom))


@settings(max_examples=2000)
@given(st.text(max_size=60))
def test_never_raises_and_never_invents(text: str) -> None:
    found = NUMBER.extract(text)
    if found is not None:
        assert NUMBER.same(found, found)
        assert any(c.isnumeric() for c in text) or any(c.isalpha() for c in text)


@pytest.mark.parametrize(
    "text",
    [
        "1" * 100_000,
        "1," * 50_000,
        "1 " * 50_000,
        "-" * 100_000,
        "1/" * 50_000,
        "the answer is " * 8000,
        "\\boxed{" * 10_000,
        " " * 100_000,
    ],
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    with no_blow_up():
        NUMBER.extract(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Here is how to get the answer:\n\n1. Subtract 3 from 8.\nSo there are 5 pens.", "5"),
        ("So x = 6. Therefore, our answer is correct.", "6"),
        ("4 + 3 = 7. (Note that the answer is not a whole number, so we round.) We get 8.", "8"),
        ("Either way, the answer is the same: 12 pens.", "12"),
        ("The answer is quickest had by multiplying. 7 x 3 = 21.", "21"),
        ("79 regular bottles minus 53 diet bottles is 26", "26"),
        ("He has 4 pens (7-3).", None),
        ("The answer is minus 4.", "-4"),
        ("step 1 ----> 22 pens are 6 less", "6"),
        ("The answer is 95 is wrong, the answer is 86", "86"),
        ("The answer is 2:45 am", None),
        ("The answer is 0.33 or 0.3333", "0.3333"),
        ("The answer is 2x + 3y = 60", None),
        ("The answer is 2x = 12, so x = 6.", "6"),
        ("The answer is fifty-two point six two.", "52.62"),
        ("The answer is five six.", None),
        ("The answer is zero.", "0"),
        ("The answer is one half.", "0.5"),
        ("The answer is two and a half hours.", "2.5"),
        ("The answer is three-fourths.", "0.75"),
        ("The answer is a dozen.", "12"),
        ("The answer is two dozen eggs.", "24"),
        ("The answer is a hundred.", "100"),
        ("The answer is half of 12.", None),
        ("The answer is - 5", "-5"),
        ("The answer:\n- 5 apples", "5"),
        ("The answer is $1.2k", "1200"),
        ("The answer is 10^6.", "1000000"),
        ("The answer is 3-5.", None),
    ],
)
def test_a_conclusion_is_told_from_a_remark(text: str, expected: str | None) -> None:
    assert NUMBER.extract(text) == expected


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "3–4",
            "3 to 4",
            "between 3 and 4 hours",
            "from 10 to 20",
            "3 or 4",
            "either 3 or 4 pens",
        ),
        *("3, 4, or 5", "1, 2", "100~200", "±3", "+/- 3", r"$\pm 3$", "x > 5", r"$x \leq 5$"),
        *("2 hours 30 minutes", "3h 15min", "5 feet 10 inches", "5'10\"", "$3 and 50 cents"),
        *("2**10", "(1/2)^3", "2 squared", "5 factorial", "1011_2", "1011₂", "0b101", "5C2"),
        *("3 : 4", "0.(3)", "0.3\u0305", "3 fifths", "5 hundredths", "3万5千", "half a dozen"),
        *("4 million five hundred thousand", "4 million and 500 thousand", "one or two"),
        *("3 pi", "3pi", "2*sqrt(3)", "2 sqrt(3)", "ln 2", "ln(2)", "log_2 8", "sin(30)", "3i"),
        *("5n", "⌊5.7⌋", r"${3 \over 4}$", "3 times 4", "3 plus 4", "20% of 50", "1/2 of 50"),
        *("3 more than 5", "12 mod 5", "3 less than 10", "undefined (division by 0)"),
        *("impossible, since 5 < 6", "that there are no solutions for 5", "unknown: 3 are missing"),
        *(r"\boxed{2, 3}", r"\boxed{(2, 3)}", r"\boxed{[2,3]}", r"\boxed{2 \text{ or } 3}"),
        *(r"\boxed{12} or \boxed{15}", r"$\boxed{2}$ and $\boxed{3}$"),
    ],
)
def test_a_part_of_an_answer_is_no_answer(answer: str) -> None:
    assert NUMBER.extract(f"She has 7. The answer is {answer}.") is None
    if "boxed" in answer:
        assert NUMBER.extract(f"She has 7. So {answer}.") is None


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        *(("0.5 or 1/2", "0.5"), ("50% or 0.5", "50"), ("2 hours or 120 minutes", "2")),
        *(
            ("12, 5 more than 7", "12"),
            ("60 minutes = 1 hour", "60"),
            ("12 (2 dozens less 12)", "12"),
        ),
        *(
            ("–5", "-5"),
            ("‒5", "-5"),
            ("⁻5", "-5"),
            ("-(5)", "-5"),
            ("-($5)", "-5"),
            ("−(3/4)", "-0.75"),
        ),
        *(("-₩5,000", "-5000"), ("-US$5", "-5"), ("-3/-4", "0.75"), ("3/-4", "-0.75")),
        *(
            ("3 lakh", "300000"),
            ("2 crore rupees", "20000000"),
            ("$5bn", "5000000000"),
            ("5万", "50000"),
        ),
        *(("3亿", "300000000"), ("1.5 mln", "1500000"), ("3 1/2 million", "3500000")),
        *(("2.5 millions", "2500000"), (r"$\cfrac{3}{4}$", "0.75"), ("log2(8) = 3", "3")),
        *(("sqrt(16)", "4"), ("3 times 4 = 12", "12"), ("5.7, which rounds to 6", "6")),
        *(("5.7 rounded to 2 decimal places", "5.7"), ("1\u200b2", "12"), ("1,\u200b234", "1234")),
        *(("12... no, wait, 15", "15"), ("12, no wait, 15", "15"), ("12 (actually 15)", "15")),
        *(("12. Correction: 15", "15"), ("12, sorry, 15", "15"), ("~~12~~ 15", "15")),
        *(
            ("<del>12</del> 15", "15"),
            ("<b>12</b>", "12"),
            ("12. Wait, is that right? Yes, 3 + 9", "12"),
        ),
        ("12. Wait, I should count again. There are 7 and 8, so it is 15", "15"),
        ("12. Wait, that is wrong", None),
    ],
)
def test_a_whole_answer_is_read_with_its_sign_scale_and_correction(
    answer: str, value: str | None
) -> None:
    assert NUMBER.extract(f"She has 7. The answer is {answer}.") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<ANSWER>12</ANSWER> of 13", "12"),
        ("<final_answer>12</final_answer>\nConfidence: 90", "12"),
        ("[ANSWER]12[/ANSWER] 13", "12"),
        ("### Final Answer\n12\n\nConfidence: 95%", "12"),
        ("**Final Answer**\n\n12\n\n95% sure", "12"),
        ("I cannot answer this question. It has 3 parts.", None),
        ("I'm sorry, but I can't help with that. 3 items are missing.", None),
        ("It takes 2 hours 30 minutes.", None),
        ("It takes between 3 and 4 hours.", None),
        ("It takes 3 to 4 hours.", None),
        ("I am sorry for the mistake. 3 + 9 = 12.", "12"),
    ],
)
def test_replies_without_a_sentence_for_the_answer(text: str, value: str | None) -> None:
    assert NUMBER.extract(text) == value


@pytest.mark.parametrize(
    ("gold", "value"),
    [("–5", "-5"), ("-(3)", "-3"), ("5万", "50000"), ("±3", None), ("3 lakh", "300000")],
)
def test_a_gold_number_is_read_whole(gold: str, value: str | None) -> None:
    assert NUMBER.gold(gold) == value
