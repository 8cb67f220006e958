"""The report in headless Chromium: six windows, axe, no errors, hostile model output inert, keys.

`make browser` installs what it needs and runs it. It is skipped where Chromium, chromedriver,
selenium or axe-core is missing.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cotdistill.pipeline import run_recipe
from cotdistill.recipe import parse_recipe
from cotdistill.testing.tiny import tiny_checkpoint

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
AXE = Path(os.environ.get("AXE", ".venv/.browser/node_modules/axe-core/axe.min.js"))
MISSING = [
    name
    for name, there in {
        "chromium": CHROMIUM, "chromedriver": DRIVER, "axe-core": AXE.is_file(),
        "selenium": importlib.util.find_spec("selenium"),
    }.items()
    if not there
]  # fmt: skip
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"`make browser` installs {MISSING}")

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "</script><script>document.title='owned'</script> \u202egnp.exe\u202c \x1b[31m \x07 "
    "javascript:alert(1) {{7*7}} " + "verylongword" * 40
)
SHORT = "<img src=x onerror=\"document.title='owned'\"> </script> \u202e"
WINDOWS = [(width, theme) for width in (390, 800, 1400) for theme in ("light", "dark")]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run whose every text is hostile: questions, replies, labels."""
    folder = tmp_path_factory.mktemp("browser")
    rows = [
        {"question": f"{n:03d} + 1? {SHORT}", "answer": "AB"[n % 2], "options": ["one", SHORT]}
        for n in range(300)
    ]
    (folder / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    recipe: dict[str, Any] = {
        "name": "<b>r",
        "output": str(folder),
        "task": {"name": "custom", "path": str(folder / "q.jsonl"), "answer": "choice",
                 "label": f"task {HOSTILE[:60]}"},
        "teacher": {"name": "scripted", "replies": {"the answer is": " (A).", "": f" {HOSTILE}"}},
        "student": {"model": str(tiny_checkpoint(folder / "base", "gpt2")), "label": "tiny"},
        "methods": [
            {"name": "answer_only", "student_max_tokens": 4},
            {"name": "fine_tune_cot", "student_max_tokens": 8, "label": "cot <i>D=1</i>"},
            {"name": "fine_tune_cot", "student_max_tokens": 8, "samples": 2,
             "label": "a label of many words that has to be wrapped in a narrow window D=2"},
            {"name": "zero_shot_cot", "role": "teacher", "label": "teacher"},
        ],
        "filters": ["answer_match"],
        "limit": {"train": 12, "validation": 2, "test": 60},
        "train": {"epochs": 1, "batch_size": 4},
    }  # fmt: skip
    return run_recipe(parse_recipe(recipe)).folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=str(DRIVER))
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(300)  # axe takes long where the machine has other work
    yield driver
    driver.quit()


def opened(browser: Any, address: str, width: int = 1400, theme: str = "light") -> Any:
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(address)
    waited(browser, "return document.querySelectorAll('.list button').length > 0")
    return browser


def waited(browser: Any, script: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60).until(lambda one: one.execute_script(script))


def asked(browser: Any, script: str) -> Any:
    return browser.execute_script(f"return {script}")


def findings(browser: Any) -> list[str]:
    """What axe finds that is serious or critical, everything unfolded."""
    browser.execute_script(
        "for (const one of document.querySelectorAll('details')) one.open = true"
    )
    browser.execute_script(AXE.read_text("utf-8"))
    found = browser.execute_async_script(
        "const done = arguments[0]; axe.run().then((found) => done(found.violations))"
    )
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in found
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(("width", "theme"), WINDOWS)
def test_the_page_fits_and_is_clean_and_inert(
    browser: Any, report: Path, width: int, theme: str
) -> None:
    opened(browser, report.as_uri(), width, theme)
    assert asked(browser, "document.documentElement.scrollWidth") <= width
    assert findings(browser) == []
    assert asked(browser, "document.documentElement.scrollWidth") <= width
    assert browser.get_log("browser") == []
    assert asked(browser, "document.title") == "<b>r – cotdistill"
    assert asked(browser, "document.querySelectorAll('img, b, i, iframe').length") == 0
    assert "\u202e" not in asked(browser, "document.body.textContent")
    # Exactly one of the two drawings of each chart is shown.
    shown = "[...document.querySelectorAll('figure')].map((one) => [...one.querySelectorAll('svg')]"
    counts = asked(browser, f"{shown}.filter((svg) => svg.getClientRects().length).length)")
    assert counts and set(counts) == {1}


def test_no_label_of_a_chart_leaves_it_or_covers_another(browser: Any, report: Path) -> None:
    script = """(() => { const wrong = [];
      for (const svg of document.querySelectorAll('svg')) {
        const frame = svg.getBoundingClientRect();
        if (!frame.width) continue;
        const boxes = [...svg.querySelectorAll('text')].map((one) => [one.textContent.trim(),
          one.getBoundingClientRect()]).filter(([text]) => text);
        boxes.forEach(([text, one], index) => {
          if (one.left < frame.left - 2 || one.right > frame.right + 2) wrong.push('out: ' + text);
          for (const [other, two] of boxes.slice(index + 1)) {
            const across = Math.min(one.right, two.right) - Math.max(one.left, two.left);
            const down = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
            if (across > 3 && down > 5) wrong.push(`${text} / ${other}`);
          }
        });
      } return wrong; })()"""
    for width in (390, 800):
        opened(browser, report.as_uri(), width)
        assert asked(browser, script) == []


def test_questions_are_filtered_searched_and_walked_by_keys(browser: Any, report: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    box = "[data-browser=answers]"
    opened(browser, report.as_uri())
    status = f"document.querySelector('{box} [role=status]').textContent"
    assert asked(browser, status) == "1 to 50 of 60 questions."
    current = f"document.querySelector('{box} [aria-current]').textContent"
    first = asked(browser, current)
    items = browser.find_element(By.CSS_SELECTOR, f"{box} .list")
    items.send_keys("j")
    second = asked(browser, current)
    assert second != first
    items.send_keys(Keys.ARROW_UP)
    assert asked(browser, current) == first
    wanted = second[second.index(" + 1?") - 3 :][:8]
    items.send_keys("/", wanted)
    waited(browser, f"return {status} === '1 to 1 of 1 questions.'")
    heading = f"document.querySelector('{box} .detail h4').textContent"
    assert asked(browser, current) == second and asked(browser, heading)
    assert asked(browser, f"document.querySelectorAll('{box} .card').length") == 4
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    waited(browser, f"return {status} === '1 to 50 of 60 questions.'")


def test_questions_that_only_one_row_answers_are_one_click_away(browser: Any, report: Path) -> None:
    opened(browser, report.as_uri())
    browser.execute_script(
        "const [one, other] = document.querySelectorAll('[data-browser=pairs] select');"
        "one.value = '3'; one.dispatchEvent(new Event('change'));"
    )
    parts = "[...document.querySelectorAll('[data-browser=pairs] li')]"
    texts = asked(browser, f"{parts}.map((one) => one.textContent)")
    share = float(texts[1].split(": ")[-1].split(" %")[0])
    browser.execute_script(f"{parts}[1].querySelector('button').click()")
    status = "document.querySelector('[data-browser=answers] [role=status]').textContent"
    waited(browser, f"return {status}.includes(' of ') || {status}.startsWith('0')")
    found = asked(browser, status).split(" questions")[0].split(" of ")[-1]
    assert int(found) == pytest.approx(share * 60 / 100, abs=0.1)
