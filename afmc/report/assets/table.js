"use strict";
// The table of all matrices: sorted, filtered, unfolded, and shown some at a time.
(() => {
  const { data, name, count, percent, si, element } = afmc;
  const { valueOf, compare, headings, label } = tables;
  const { units } = data.matrices;
  const PAGE = 500; // rows of matrices at a time
  const MEMBERS = 200; // of a kind, that are unfolded at most

  const table = document.getElementById("matrices-table");
  const show = document.getElementById("matrices-show");
  const filter = document.getElementById("matrices-filter");
  const where = document.getElementById("matrices-where");
  const found = document.getElementById("matrices-found");
  const more = document.getElementById("matrices-more");
  const kinds = [...table.tBodies[0].rows].map((row) => ({
    row,
    name: row.cells[0].textContent,
    values: [...row.cells].map((_, column) => valueOf(row, column)),
    where: row.cells[8].textContent,
    reason: row.cells[9].textContent,
    members: [],
  }));
  const matrices = data.matrices.rows.map(
    ([kind, packed, rows, cols, copies, blocks, tiles, use, range, place, reason, ...figures]) => {
      const why = data.matrices.reasons[reason];
      const called = name(packed);
      const made = {
        name: called, where: place, reason: why, range, figures, use,
        shape: `${rows} x ${cols}`,
        values: [called.toLowerCase(), rows * cols, 1, copies, blocks, tiles, use ?? 0,
          range === "" ? "" : Number(range), place, why.toLowerCase(), ...figures.map((each) => each ?? -1)],
      };
      kinds[kind].members.push(made);
      return made;
    });

  // A row of one matrix; made when it is first shown.
  function rowOf(matrix, member) {
    const values = matrix.values;
    const text = [matrix.shape, "1", count(values[3]), count(values[4]), count(values[5]),
      matrix.use === null ? "" : percent(matrix.use), matrix.range];
    const head = element("th", { scope: "row" });
    if (matrix.where === "analog") {
      const button = element("button", { type: "button", title: "Find on the floor plan" }, matrix.name);
      button.addEventListener("click", () =>
        document.dispatchEvent(new CustomEvent("find", { detail: matrix.name })));
      head.append(button);
    } else {
      head.append(matrix.name);
    }
    const row = element("tr", member ? { class: "member" } : {}, head);
    for (const each of text) row.append(element("td", { class: "n" }, each));
    row.append(element("td", {}, matrix.where), element("td", {}, matrix.reason));
    matrix.figures.forEach((value, index) => {
      const known = units[index] === "nJ" ? si(value * 1e-9, "J") : percent(value, 2);
      row.append(element("td", { class: "n" }, value === null ? "not known" : known));
    });
    return row;
  }

  for (const kind of kinds) {
    if (kind.members.length < 2) continue;
    const button = element("button", { type: "button", "aria-expanded": "false" }, `▸ ${kind.name}`);
    button.addEventListener("click", () => {
      kind.open = !kind.open;
      button.setAttribute("aria-expanded", String(kind.open));
      button.textContent = `${kind.open ? "▾" : "▸"} ${kind.name}`;
      draw();
    });
    kind.row.cells[0].replaceChildren(button);
  }

  let sorting = null;
  let shown = PAGE;

  function sorted(list) {
    if (sorting === null) return list;
    const [column, direction] = sorting;
    return [...list].sort((a, b) => direction * compare(a.values[column], b.values[column]));
  }

  function matches(each, text) {
    return (where.value === "" || each.where === where.value) &&
      (each.name.toLowerCase().includes(text) || each.reason.toLowerCase().includes(text));
  }

  function draw() {
    const text = filter.value.trim().toLowerCase();
    const rows = [];
    if (show.value === "kinds") {
      const kept = kinds.filter((kind) =>
        matches(kind, text) || kind.members.some((each) => matches(each, text)));
      for (const kind of sorted(kept)) {
        rows.push(kind.row);
        if (!kind.open) continue;
        const members = sorted(kind.members.filter((each) => matches(each, text)));
        rows.push(...members.slice(0, MEMBERS).map((each) => rowOf(each, true)));
        if (members.length > MEMBERS) {
          const columns = table.tHead.rows[0].cells.length;
          rows.push(element("tr", { class: "member" }, element("td", { colspan: columns },
            `and ${count(members.length - MEMBERS)} more: filter them by name`)));
        }
      }
      found.value = `${count(kept.length)} of ${count(kinds.length)} kinds`;
      more.hidden = true;
    } else {
      const kept = sorted(matrices.filter((each) => matches(each, text)));
      rows.push(...kept.slice(0, shown).map((each) => rowOf(each, false)));
      found.value = `${count(kept.length)} of ${count(matrices.length)} matrices`;
      more.hidden = kept.length <= shown;
      more.textContent = `Show more (${count(Math.max(0, kept.length - shown))} left)`;
    }
    table.tBodies[0].replaceChildren(...rows);
    label(table);
  }

  headings(table, (column, direction) => {
    sorting = [column, direction];
    draw();
  });
  function drawAnew() {
    shown = PAGE;
    draw();
  }
  filter.addEventListener("input", drawAnew);
  show.addEventListener("change", drawAnew);
  where.addEventListener("change", drawAnew);
  more.addEventListener("click", () => {
    shown += PAGE;
    draw();
  });
  draw();
})();
