"use strict";
// The floor plan: chips and tiles on a canvas, with zoom, search, and a cursor for the keyboard.
(() => {
  const { data, unrun, unstep, name, count, percent, si, element, svg } = afmc;
  const floor = data.floor;
  const canvas = document.getElementById("floor-canvas");
  const info = document.getElementById("floor-info");
  const legend = document.getElementById("floor-legend");
  const colour = document.getElementById("floor-colour");
  const search = document.getElementById("floor-search");
  const found = document.getElementById("floor-found");
  const openButton = document.getElementById("floor-open");
  const backButton = document.getElementById("floor-back");
  const context = canvas.getContext("2d");

  const groups = floor.groups.map(([layer, ...packed]) => ({
    layer, kind: packed[0], name: name(packed), search: name(packed).toLowerCase(),
  }));
  const usedKinds = [...new Set(groups.map((group) => group.kind))];
  const kindNumber = new Map(usedKinds.map((kind, index) => [kind, index]));
  const cellLayer = unrun(floor.cells.layer);
  const cellSame = unrun(floor.cells.same);
  const cellUse = unrun(floor.cells.use).map((each) => each / 1000);
  const cellEnergy = unrun(floor.cells.energy).map((each) => each * 1e-6);
  const cellError = unrun(floor.cells.error).map((each) => each / 1e4);
  const layerText = floor.layers.map((layer) => layer.split(".").pop());

  // ---- what is drawn: cells at places, in tiles' widths

  function readDetail() {
    const { detail } = floor;
    const columns = {};
    for (const key of ["layer", "kind", "use", "energy", "error", "blocks", "listed", "on"]) {
      columns[key] = unrun(detail[key]);
    }
    const tiles = unstep(detail.tile), on = unstep(detail.groups);
    const keys = Object.keys(detail.block);
    const blocks = keys.map((key) => unstep(detail.block[key]));
    const amounts = unrun(detail.tiles);
    let tile = 0, block = 0, pair = 0;
    return unstep(detail.chips).map((chip, index) => {
      const cells = [];
      for (const end = tile + amounts[index]; tile < end; tile++) {
        const listed = [];
        for (const last = block + columns.listed[tile]; block < last; block++) {
          listed.push(Object.fromEntries(keys.map((key, i) => [key, blocks[i][block]])));
        }
        cells.push({
          chip, tile: tiles[tile], layer: columns.layer[tile], kind: columns.kind[tile],
          use: columns.use[tile] / 1000, energy: columns.energy[tile] * 1e-6,
          error: columns.error[tile] / 1e4, count: columns.blocks[tile], blocks: listed,
          groups: on.slice(pair, (pair += columns.on[tile])),
        });
      }
      return { chip, cells };
    });
  }
  const details = readDetail();

  // Chips beside one another, as many in a row as suits the canvas.
  function inRows(n, width, height) {
    const aspect = Math.max(0.4, canvas.clientWidth / Math.max(1, canvas.clientHeight));
    return Math.max(1, Math.min(n, Math.round(Math.sqrt((n * height * aspect) / width))));
  }

  function tilesView(chips) {
    const across = Math.min(floor.across, floor.tiles);
    const down = Math.ceil(floor.tiles / across);
    const gap = Math.max(0.8, across * 0.08);
    const width = across + gap, height = down + gap + Math.max(0.9, down * 0.1);
    const columns = inRows(chips.length, width, height);
    const view = { cells: [], frames: [], width: columns * width + gap,
      height: Math.ceil(chips.length / columns) * height + gap, pad: 0.06 };
    chips.forEach(({ chip, cells }, index) => {
      const left = gap + (index % columns) * width;
      const top = height - down + Math.floor(index / columns) * height;
      view.frames.push({ x: left, y: top, w: across, h: down, above: height - down, text: `chip ${chip}` });
      for (const cell of cells) {
        cell.x = left + (cell.tile % across);
        cell.y = top + Math.floor(cell.tile / across);
        view.cells.push(cell);
      }
    });
    return view;
  }

  function chipsView() {
    const columns = inRows(cellLayer.length, 1, 1);
    const cells = cellLayer.map((layer, index) => ({
      x: index % columns, y: Math.floor(index / columns), index, layer, kind: null,
      use: cellUse[index], energy: cellEnergy[index] ?? 0,
      error: cellError[index] ?? 0, groups: [],
    }));
    floor.on.forEach((runs, group) => {
      for (let i = 0; i < runs.length; i += 2) {
        for (let cell = runs[i]; cell < runs[i] + runs[i + 1]; cell++) cells[cell].groups.push(group);
      }
    });
    for (const cell of cells) {
      const mine = cell.groups.find((group) => groups[group].layer === cell.layer);
      cell.kind = mine === undefined ? null : groups[mine].kind;
    }
    return { cells, frames: [], width: columns, height: Math.ceil(cells.length / columns), pad: 0.04 };
  }

  let opened = null; // the cell whose chip is open
  let view = { cells: [], frames: [], width: 1, height: 1, pad: 0 };
  let scale = 1, offsetX = 0, offsetY = 0;
  let cursor = -1;
  let hits = new Set();
  let searching = false;

  function build() {
    if (floor.whole) view = tilesView(details);
    else if (opened === null) view = chipsView();
    else view = tilesView([opened]);
    view.most = view.cells.reduce((high, cell) => Math.max(high, cell.energy), 0);
    view.worst = view.cells.reduce((high, cell) => Math.max(high, cell.error), 0);
    backButton.hidden = floor.whole || opened === null;
    find();
    fit();
  }

  // ---- colours and words of a cell

  function colourOf(cell) {
    switch (colour.value) {
      case "use": return drawing.scale(cell.use);
      case "energy": return drawing.scale(view.most ? Math.sqrt(cell.energy / view.most) : 0);
      case "error": return drawing.scale(view.worst ? Math.sqrt(cell.error / view.worst) : 0);
      case "kind": return cell.kind === null ? [128, 128, 128] : drawing.apart(kindNumber.get(cell.kind));
      default: return cell.layer < 0 ? [128, 128, 128] : drawing.ordered(cell.layer, floor.layers.length);
    }
  }

  function textOf(cell) {
    switch (colour.value) {
      case "use": return percent(cell.use, 0);
      case "energy": return si(cell.energy * 1e-9, "J");
      case "error": return percent(cell.error, 0);
      case "kind": return cell.kind === null ? "" : shortKind(cell.kind);
      default: return layerText[cell.layer] ?? "";
    }
  }

  function shortKind(kind) {
    const parts = data.kinds[kind].split(".").filter((part) => part !== "weight" && part !== "*");
    return parts.pop() ?? "";
  }

  // ---- drawing

  function fit() {
    const width = canvas.clientWidth, height = canvas.clientHeight;
    scale = Math.min(width / view.width, height / view.height) * 0.985;
    offsetX = (width - view.width * scale) / 2;
    offsetY = (height - view.height * scale) / 2;
    draw();
  }

  function draw() {
    const ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const theme = drawing.theme();
    context.fillStyle = theme.card;
    context.fillRect(0, 0, width, height);
    context.textBaseline = "middle";
    for (const frame of view.frames) {
      const x = offsetX + frame.x * scale, y = offsetY + frame.y * scale;
      const w = frame.w * scale, h = frame.h * scale;
      if (x > width || y > height || x + w < 0 || y + h < 0) continue;
      context.fillStyle = theme.empty;
      context.fillRect(x, y, w, h);
      context.strokeStyle = theme.frame;
      context.strokeRect(x - 1, y - 1, w + 2, h + 2);
      const size = Math.min(14, Math.max(9, h * 0.1));
      context.font = `${size}px system-ui, sans-serif`;
      context.fillStyle = theme.ink;
      context.textAlign = "left";
      if (frame.above * scale < size + 3 || context.measureText(frame.text).width > w + 8) continue;
      context.fillText(frame.text, x, y - size * 0.75);
    }
    const pad = scale > 5 ? Math.max(0.4, view.pad * scale) : 0;
    const side = pad ? scale - 2 * pad : scale + 0.5;
    const size = Math.min(13, scale * 0.38);
    context.textAlign = "center";
    view.cells.forEach((cell, index) => {
      const x = offsetX + cell.x * scale + pad, y = offsetY + cell.y * scale + pad;
      if (x > width || y > height || x + side < 0 || y + side < 0) return;
      const rgb = colourOf(cell);
      context.globalAlpha = searching && !hits.has(index) ? 0.13 : 1;
      context.fillStyle = drawing.css(rgb);
      context.fillRect(x, y, side, side);
      if (size < 7 || context.globalAlpha < 1) return;
      const text = textOf(cell);
      context.font = `${size}px system-ui, sans-serif`;
      const fitting = Math.min(size, (size * side * 0.92) / context.measureText(text).width);
      if (fitting < 7) return;
      context.font = `${fitting}px system-ui, sans-serif`;
      context.fillStyle = drawing.inkOn(rgb);
      context.fillText(text, x + side / 2, y + side / 2);
    });
    context.globalAlpha = 1;
    if (view.cells[cursor]) {
      const { x, y } = view.cells[cursor];
      context.lineWidth = 3;
      context.strokeStyle = theme.mark;
      context.strokeRect(offsetX + x * scale - 1, offsetY + y * scale - 1, scale + 2, scale + 2);
      context.lineWidth = 1;
    }
  }

  let scheduled = false;
  function redraw() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => { scheduled = false; draw(); });
  }

  function swatch(rgb) {
    return svg("svg", { "aria-hidden": "true" }, svg("rect", { width: "100%", height: "100%", fill: drawing.css(rgb) }));
  }

  function drawLegend() {
    legend.replaceChildren();
    if (colour.value === "layer") {
      const step = Math.ceil(floor.layers.length / 64);
      floor.layers.forEach((layer, index) => {
        if (index % step && index !== floor.layers.length - 1) return;
        legend.append(element("span", {}, swatch(drawing.ordered(index, floor.layers.length)), index ? layerText[index] : layer));
      });
      if (step > 1) legend.append(`(one in ${step} of ${floor.layers.length} layers)`);
    } else if (colour.value === "kind") {
      usedKinds.slice(0, 40).forEach((kind, index) => {
        legend.append(element("span", {}, swatch(drawing.apart(index)), data.kinds[kind]));
      });
      if (usedKinds.length > 40) legend.append(`and ${usedKinds.length - 40} more kinds`);
    } else {
      const bar = svg("svg", { class: "wide", "aria-hidden": "true" });
      for (let i = 0; i < 18; i++) {
        bar.append(svg("rect", { x: `${(100 * i) / 18}%`, width: "5.7%", height: "100%", fill: drawing.css(drawing.scale(i / 17)) }));
      }
      legend.append("0", bar, {
        use: "100 % of the cells",
        energy: `${si(view.most * 1e-9, "J")} a token, by square root`,
        error: `${percent(view.worst)} relative error of the products, by square root`,
      }[colour.value]);
    }
  }

  // ---- the text box

  function list(lines, limit, all = lines.length) {
    const shown = lines.slice(0, limit);
    const made = element("ul", {}, ...shown.map((line) => element("li", {}, line)));
    if (all > shown.length) made.append(element("li", {}, `and ${count(all - shown.length)} more`));
    return made;
  }

  function describeTile(cell) {
    const lines = cell.blocks.map((block) => {
      const tier = floor.tiers > 1 ? `tier ${block.tier}: ` : "";
      const copy = block.copy ? `, expert ${block.copy}` : "";
      const replica = block.replica ? `, replica ${block.replica}` : "";
      return `${tier}${groups[block.group].name}${copy}${replica}, rows ${block.from} to ` +
        `${block.from + block.rows - 1}, columns ${block.at} to ${block.at + block.cols - 1}`;
    });
    const parts = [
      element("h3", {}, `Chip ${count(cell.chip)}, tile ${count(cell.tile)}`),
      element("p", {}, `${percent(cell.use)} of its cells hold weights, ${count(cell.count)} ` +
        `${cell.count === 1 ? "block" : "blocks"}`),
    ];
    if (floor.energy) parts.push(element("p", {}, `${si(cell.energy * 1e-9, "J")} a token, its matrices' energy spread evenly over their cells`));
    if (floor.error) parts.push(element("p", {}, `${percent(cell.error)} relative error of its matrices' products`));
    parts.push(list(lines, 6, cell.count));
    const tiers = [...new Set(cell.blocks.map((block) => block.tier))].slice(0, 4);
    for (const tier of tiers) {
      const label = floor.tiers > 1 ? `Tier ${tier}` : "The crossbar";
      const blocks = cell.blocks.filter((block) => block.tier === tier);
      parts.push(drawing.crossbar(floor.rows, floor.columns, blocks,
        (block) => drawing.ordered(groups[block.group].layer, floor.layers.length),
        `${label}: ${blocks.length} blocks at their rows and columns`));
      parts.push(element("p", { class: "quiet" }, `${label}: ${floor.rows} rows down, ${floor.columns} columns across`));
    }
    return parts;
  }

  function describeChips(cell) {
    const first = cell.index * floor.span;
    const last = Math.min(first + floor.span, floor.chips) - 1;
    const title = first === last ? `Chip ${count(first)}` : `Chips ${count(first)} to ${count(last)}`;
    const parts = [
      element("h3", {}, title),
      element("p", {}, `${percent(cell.use)} of ${first === last ? "its" : "their"} cells hold weights`),
      element("p", {}, cell.layer < 0 ? "empty" : `most of ${floor.layers[cell.layer]}`),
    ];
    if (floor.energy) parts.push(element("p", {}, `${si(cell.energy * 1e-9, "J")} a token`));
    if (floor.error) parts.push(element("p", {}, `${percent(cell.error)} relative error of the products`));
    parts.push(list(cell.groups.map((group) => groups[group].name), 8));
    const like = detailOf(cell);
    parts.push(element("p", { class: "quiet" }, like === undefined
      ? "Its layout is not among those that this page has in detail."
      : like.chip === first ? "Open it: this chip is here in detail."
        : `Open it: it is laid out like chip ${count(like.chip)}, which is here in detail.`));
    return parts;
  }

  const layouts = new Map();
  if (!floor.whole) {
    for (const each of details) layouts.set(cellSame[Math.floor(each.chip / floor.span)], each);
  }
  const detailOf = (cell) => layouts.get(cellSame[cell.index]);

  function describe(index) {
    const cell = view.cells[index];
    info.classList.toggle("nothing", !cell);
    if (!cell) {
      info.replaceChildren(element("p", { class: "quiet" }, "Point at a cell to see what it holds."));
      return;
    }
    info.replaceChildren(...(cell.blocks ? describeTile(cell) : describeChips(cell)));
    if (opened !== null) info.prepend(element("p", { class: "note" }, opened.text));
    openButton.hidden = floor.whole || opened !== null || detailOf(cell) === undefined;
  }

  // ---- going about

  function at(x, y) {
    const wx = (x - offsetX) / scale, wy = (y - offsetY) / scale;
    return view.cells.findIndex((cell) => wx >= cell.x && wx < cell.x + 1 && wy >= cell.y && wy < cell.y + 1);
  }

  function moveTo(index, follow = true) {
    if (!view.cells[index]) return;
    cursor = index;
    describe(index);
    if (follow) {
      const { x, y } = view.cells[index];
      const left = offsetX + x * scale, top = offsetY + y * scale;
      if (left < 0 || left + scale > canvas.clientWidth) offsetX += canvas.clientWidth / 2 - left;
      if (top < 0 || top + scale > canvas.clientHeight) offsetY += canvas.clientHeight / 2 - top;
    }
    redraw();
  }

  function step(dx, dy) {
    const from = view.cells[cursor];
    if (!from) return moveTo(0);
    let best = -1, distance = Infinity;
    view.cells.forEach((cell, index) => {
      const along = (cell.x - from.x) * dx + (cell.y - from.y) * dy;
      const aside = Math.abs((cell.x - from.x) * dy) + Math.abs((cell.y - from.y) * dx);
      const far = along + 8 * aside;
      if (along > 0.01 && far < distance) { best = index; distance = far; }
    });
    moveTo(best);
  }

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const least = Math.min(canvas.clientWidth / view.width, canvas.clientHeight / view.height) * 0.9;
    const next = Math.min(400, Math.max(least, scale * factor));
    offsetX = x - ((x - offsetX) * next) / scale;
    offsetY = y - ((y - offsetY) * next) / scale;
    scale = next;
    redraw();
  }

  function zoomAtCursor(factor) {
    const cell = view.cells[cursor];
    if (cell) zoom(factor, offsetX + (cell.x + 0.5) * scale, offsetY + (cell.y + 0.5) * scale);
    else zoom(factor);
  }

  function open() {
    const cell = view.cells[cursor];
    if (floor.whole || opened !== null || !cell) return;
    const like = detailOf(cell);
    if (like === undefined) return;
    const first = cell.index * floor.span;
    const text = like.chip === first
      ? `Chip ${count(first)}, tile by tile.`
      : `Chip ${count(first)} is laid out like chip ${count(like.chip)}, which is drawn: the names are those on chip ${count(like.chip)}.`;
    opened = { ...like, text, from: cursor, other: like.chip !== first };
    openButton.hidden = true;
    cursor = 0;
    build();
    describe(0);
    drawLegend();
  }

  function back() {
    if (opened === null) return;
    cursor = opened.from;
    opened = null;
    build();
    describe(cursor);
    drawLegend();
  }

  function find() {
    const text = search.value.trim().toLowerCase();
    hits = new Set();
    found.value = "";
    // The names on a chip that stands for others are not those of the chip that was opened.
    searching = text !== "" && !(opened !== null && opened.other);
    if (!searching) return;
    const exact = floor.layers.findIndex((layer) => layer.toLowerCase() === text);
    const wanted = groups.map((group) => (exact >= 0 ? group.layer === exact : contains(group, text)));
    view.cells.forEach((cell, index) => {
      if (cell.groups.some((group) => wanted[group])) hits.add(index);
    });
    const matching = wanted.filter(Boolean).length;
    const what = floor.whole || opened !== null ? "tiles" : floor.span > 1 ? "cells" : "chips";
    found.value = matching === 0 ? "nothing of that name is on tiles"
      : `${count(hits.size)} of ${count(view.cells.length)} ${what} hold it`;
  }

  // A merged group is named like a.{q,k,v}.weight: each of its matrices is looked for.
  function contains(group, text) {
    if (group.search.includes(text)) return true;
    const parts = group.search.match(/^(.*)\{(.*)\}(.*)$/);
    return parts !== null && parts[2].split(",").some((one) => (parts[1] + one + parts[3]).includes(text));
  }

  function next(direction) {
    const order = [...hits].sort((a, b) => a - b);
    if (!order.length) return;
    const after = direction > 0 ? order.find((index) => index > cursor)
      : order.findLast((index) => index < cursor);
    moveTo(after ?? (direction > 0 ? order[0] : order[order.length - 1]));
  }

  // ---- events

  const keys = {
    ArrowLeft: () => step(-1, 0), ArrowRight: () => step(1, 0),
    ArrowUp: () => step(0, -1), ArrowDown: () => step(0, 1),
    Home: () => moveTo(0), End: () => moveTo(view.cells.length - 1),
    "+": () => zoomAtCursor(1.4), "=": () => zoomAtCursor(1.4), "-": () => zoomAtCursor(1 / 1.4),
    0: fit, n: () => next(1), N: () => next(-1), Enter: open, Escape: back,
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  canvas.addEventListener("focus", () => {
    if (cursor < 0 && canvas.matches(":focus-visible")) moveTo(0);
  });

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, y: event.offsetY, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag !== null && event.buttons) {
      const dx = event.offsetX - drag.x, dy = event.offsetY - drag.y;
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      offsetX += dx;
      offsetY += dy;
      drag = { x: event.offsetX, y: event.offsetY, moved: true };
      redraw();
      return;
    }
    const index = at(event.offsetX, event.offsetY);
    if (index >= 0 && index !== cursor) moveTo(index, false);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag !== null && !drag.moved) moveTo(at(event.offsetX, event.offsetY), false);
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("dblclick", (event) => {
    if (floor.whole || opened !== null) zoom(2, event.offsetX, event.offsetY);
    else open();
  });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
  }, { passive: false });

  document.getElementById("floor-in").addEventListener("click", () => zoomAtCursor(1.4));
  document.getElementById("floor-out").addEventListener("click", () => zoomAtCursor(1 / 1.4));
  document.getElementById("floor-all").addEventListener("click", fit);
  openButton.addEventListener("click", open);
  backButton.addEventListener("click", back);
  colour.addEventListener("change", () => { drawLegend(); redraw(); });
  search.addEventListener("input", () => { find(); redraw(); });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") next(1);
  });
  document.addEventListener("find", (event) => {
    search.value = event.detail;
    find();
    canvas.focus();
    next(1);
  });
  drawing.onChange(() => { drawLegend(); draw(); });
  new ResizeObserver(() => build()).observe(canvas);

  build();
  drawLegend();
  describe(-1);
})();
