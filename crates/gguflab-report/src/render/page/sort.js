"use strict";
// A click on a column's title sorts the rows by it; the page says the same without this.
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const table = head.closest("table");
    const body = table.tBodies[0];
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const key = (row) => row.cells[column];
    const compare = (left, right) => {
      const a = key(left).dataset.order, b = key(right).dataset.order;
      if (a !== undefined && b !== undefined) return a - b;
      if (a !== undefined || b !== undefined) return a !== undefined ? -1 : 1;
      return key(left).textContent.localeCompare(key(right).textContent, "en", { numeric: true });
    };
    const rows = [...body.rows].sort(compare);
    body.append(...(down ? rows.reverse() : rows));
  });
}
