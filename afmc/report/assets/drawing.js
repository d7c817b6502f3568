"use strict";
// Colours of cells, and a crossbar's blocks as a drawing.
const drawing = (() => {
  const { svg } = afmc;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;

  const isDark = () => dark.matches && !printing;

  // [red, green, blue] of a hue, as CSS has it.
  function hsl(hue, saturation, lightness) {
    const size = saturation * Math.min(lightness, 1 - lightness);
    return [0, 8, 4].map((n) => {
      const k = (n + hue / 30) % 12;
      return 255 * (lightness - size * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
    });
  }

  // One of so many in a row: neighbours differ in lightness too.
  function ordered(index, of) {
    return hsl((300 * index) / Math.max(1, of), 0.55, index % 2 ? 0.66 : 0.5);
  }

  // One of a few that have no order.
  function apart(index) {
    return hsl((index * 137.5 + 210) % 360, 0.5, [0.5, 0.66, 0.4][index % 3]);
  }

  // From 0 to 1: from the paper to the ink.
  function scale(share) {
    const [from, to] = isDark()
      ? [[38, 50, 64], [150, 205, 255]]
      : [[226, 237, 247], [8, 64, 129]];
    const at = Math.max(0, Math.min(1, share));
    return from.map((each, i) => each + (to[i] - each) * at);
  }

  const css = (rgb) => `rgb(${rgb.map(Math.round).join(",")})`;
  const inkOn = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000" : "#fff");

  function theme() {
    return isDark()
      ? { card: "#1c2025", frame: "#4a525c", empty: "#262b31", ink: "#e8eaed", mark: "#ffb4a9" }
      : { card: "#ffffff", frame: "#aab2bb", empty: "#eceef0", ink: "#1b1f24", mark: "#b3261e" };
  }

  // Calls back when the colours change: another scheme, or paper.
  function onChange(redraw) {
    dark.addEventListener("change", redraw);
    addEventListener("beforeprint", () => { printing = true; redraw(); });
    addEventListener("afterprint", () => { printing = false; redraw(); });
  }

  // The blocks of one crossbar at their rows and columns.
  function crossbar(rows, columns, blocks, colourOf, label) {
    const drawn = svg("svg", { viewBox: `0 0 ${columns} ${rows}`, role: "img", "aria-label": label });
    for (const block of blocks) {
      drawn.append(svg("rect", {
        x: block.col, y: block.row, width: block.cols, height: block.rows,
        fill: css(colourOf(block)), stroke: "#000", "stroke-width": rows / 200,
      }));
    }
    return drawn;
  }

  return { ordered, apart, scale, css, inkOn, theme, onChange, crossbar };
})();
