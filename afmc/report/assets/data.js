"use strict";
// What the page carries, unpacked: names, columns, numbers for people.
const afmc = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);

  // [value, how often, value, how often, ...]
  function unrun(pairs) {
    const values = [];
    for (let i = 0; i < pairs.length; i += 2) {
      for (let n = 0; n < pairs[i + 1]; n++) values.push(pairs[i]);
    }
    return values;
  }

  // Runs of the differences from one value to the next.
  function unstep(pairs) {
    let sum = 0;
    return unrun(pairs).map((step) => (sum += step));
  }

  // [kind, number, number, ...]: the kind's name with its stars replaced.
  function name([kind, ...numbers]) {
    let next = 0;
    const parts = data.kinds[kind].split(".");
    return parts.map((part) => (part === "*" ? numbers[next++] : part)).join(".");
  }

  const count = (value) => value.toLocaleString("en-US");
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;

  function si(value, unit) {
    if (!value) return `0 ${unit}`;
    const prefixes = ["f", "p", "n", "µ", "m", "", "k", "M"];
    const power = Math.floor(Math.log10(Math.abs(value)) / 3);
    const at = Math.min(Math.max(power + 5, 0), prefixes.length - 1);
    return `${Number((value / 10 ** (3 * (at - 5))).toPrecision(3))} ${prefixes[at]}${unit}`;
  }

  // An element with text and children, never with markup from a string.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  return { data, unrun, unstep, name, count, percent, si, element, svg };
})();
