"use strict";
// Rows that are equal in all compiles are hidden where that is asked for.
(() => {
  const box = document.getElementById("differences");
  const rows = [...document.querySelectorAll("tr[data-differs]")];
  const differ = rows.filter((row) => row.dataset.differs === "1").length;

  box.addEventListener("change", () => {
    for (const row of rows) row.hidden = box.checked && row.dataset.differs === "0";
  });
  document.getElementById("differences-found").value = `${differ} of ${rows.length} differ`;
  document.getElementById("differences-controls").hidden = false;
})();
