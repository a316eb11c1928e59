"""Whether people can read a page and work it without a mouse, measured in the browser."""

from __future__ import annotations

from tests.e2e.browser import Browser

ENOUGH = 4.5
"""Contrast of text that WCAG 2.2 asks for at level AA (success criterion 1.4.3)."""

_CONTRASTS = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
const ground = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const colour = numbers(getComputedStyle(each).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
for (const element of document.querySelectorAll("body *")) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!own || !element.checkVisibility() || element.closest(".unseen")) continue;
  const [one, other] = [luminance(numbers(getComputedStyle(element).color)), luminance(ground(element))];
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  found.push([`${element.tagName}.${element.className} ${element.textContent.slice(0, 40)}`, contrast]);
}
return found;
"""

_NAMELESS = """
const worked = "input, select, textarea, button, a, summary, [role=region], [role=img]";
return [...document.querySelectorAll(worked)]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(each.labels?.length || each.getAttribute("aria-label") || each.textContent.trim()))
  .map((each) => each.outerHTML.slice(0, 120));
"""

_FOCUSED = """
const each = document.activeElement;
if (!each || each === document.body) return null;
const style = getComputedStyle(each);
const box = each.getBoundingClientRect();
return {
  name: each.id || each.getAttribute("aria-label") || each.textContent.trim().slice(0, 40),
  marked: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
  seen: box.width > 0 && box.left >= -1,
};
"""


def pale_texts(browser: Browser) -> list[str]:
    """Name the texts of the page with less contrast than ENOUGH."""
    contrasts: list[tuple[str, float]] = browser.run(_CONTRASTS)
    assert len(contrasts) > 10, "there is hardly any text to look at"
    return [f"{contrast:.2f} {name}" for name, contrast in contrasts if contrast < ENOUGH]


def nameless(browser: Browser) -> list[str]:
    """Give what can be worked and has no name for those who cannot see it."""
    found: list[str] = browser.run(_NAMELESS)
    return found


def tabbed(browser: Browser, most: int = 60) -> list[str]:
    """Go through the page by Tab, and give the names of all stops; each must be seen to have the focus."""
    names: list[str] = []
    browser.run("document.activeElement?.blur()")
    for _ in range(most):
        browser.press("\ue004")  # Tab
        stop = browser.run(_FOCUSED)
        if stop is None:
            return names
        assert stop["marked"], f"{stop['name']} does not show that it has the focus"
        assert stop["seen"], f"{stop['name']} has the focus and is nowhere"
        names.append(stop["name"])
    raise AssertionError(f"Tab found no end: {names}")
