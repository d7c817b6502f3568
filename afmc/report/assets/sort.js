"use strict";
// Tables that are sorted by their headings.
const tables = (() => {
  function valueOf(row, column) {
    const cell = row.cells[column];
    const text = (cell.dataset.v ?? cell.textContent).trim();
    const number = Number(text.replace(/[,%]/g, "").split(" ")[0]);
    return text !== "" && !Number.isNaN(number) ? number : text.toLowerCase();
  }

  // Numbers before words, what is empty last.
  function compare(one, other) {
    if (one === "" || other === "") return (one === "") - (other === "");
    if (typeof one !== typeof other) return typeof one === "number" ? -1 : 1;
    return typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true });
  }

  // Calls sort(column, direction) on a click, and says with aria-sort how it is sorted.
  function headings(table, sort) {
    const cells = [...table.tHead.rows[0].cells];
    cells.forEach((cell, column) => {
      cell.querySelector("button")?.addEventListener("click", () => {
        const up = cell.getAttribute("aria-sort") !== "ascending";
        for (const each of cells) {
          if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none");
        }
        cell.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(column, up ? 1 : -1);
      });
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    headings(table, (column, direction) => {
      const body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
      rows.sort(([one], [other]) => direction * compare(one, other));
      body.append(...rows.map(([, row]) => row));
    });
  }

  // What each cell is, for narrow screens, on which no heading stands above it.
  function label(table) {
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, column) => {
        if (column > 0 && names[column]) cell.dataset.label = names[column];
      });
    }
  }

  for (const table of document.querySelectorAll(".scroll table")) {
    if (table.tHead === null || table.tBodies.length === 0) continue;
    table.classList.add("records");
    label(table);
  }

  return { valueOf, compare, headings, label };
})();
