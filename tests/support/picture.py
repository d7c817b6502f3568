"""The picture of a report that the README shows, made anew.

    python tests/support/picture.py docs/images/report.png

Compiles and validates `demo`, writes its report and takes the floor plan in Chromium.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from browser import Browser, chromium
from selenium.webdriver.common.keys import Keys

import afmc


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = afmc.compile("demo", "hermes-64", level=0)
        found = model.validate(tokens=2048, instances=3, by_matrix=True)
        model.report(folder / "report.html", validations=[found])
        with chromium(folder / "profile") as driver:
            browser = Browser(driver)
            browser.open(folder / "report.html", width=1200, height=690)
            browser.all("#floor-colour option[value=error]")[0].click()
            browser["floor-canvas"].send_keys(Keys.HOME, Keys.ARROW_RIGHT)
            browser.script("document.getElementById('floor').scrollIntoView()")
            browser.colours()  # until it is drawn
            picture = browser.command("Page.captureScreenshot", format="png")
        Path(sys.argv[1]).write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    main()
