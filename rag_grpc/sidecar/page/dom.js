// Elements, made of values. Text becomes text nodes and nothing else: documents are strangers'
// words, and the page's security policy lets no text become markup anyway.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

// Replace what is in an element.
export function show(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter(isThere));
}

// Replace what is in an element, and keep how the reader left it: what is open, scrolled, in focus. The parts
// of which that is kept have a data-key. What somebody is selecting text in is left alone.
export function redraw(element, ...children) {
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed && element.contains(selection.anchorNode)) return;
  const left = new Map();
  for (const part of element.querySelectorAll("[data-key]")) {
    left.set(part.dataset.key, { open: part.open, x: part.scrollLeft, y: part.scrollTop, focus: part === document.activeElement });
  }
  show(element, ...children);
  for (const part of element.querySelectorAll("[data-key]")) {
    const was = left.get(part.dataset.key);
    if (!was) continue;
    if (was.open) part.open = true;
    part.scrollTo(was.x, was.y);
    if (was.focus) part.focus({ preventScroll: true });
  }
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (isThere(value)) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat(Infinity).filter(isThere));
  return element;
}

function isThere(value) {
  return value !== null && value !== undefined && value !== false;
}
