// Sort a table by a click on a header, if the page holds all its rows. Without this script the table
// keeps the order of the server.
"use strict";

(() => {
  const chosen = new Map(); // table name to sort order; a refreshed table keeps its order
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // Return the sort key of a cell: its data-sort, its time or its text; null for an empty cell.
  function keyOf(row, column) {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.querySelector("time")?.dateTime ?? cell.textContent.trim();
    return ["", "–", "never", "none", "None"].includes(text) ? null : text;
  }

  function compare(a, b) {
    const [left, right] = [a, b].map((text) => Number(text.replaceAll(",", "")));
    return Number.isNaN(left) || Number.isNaN(right) ? words.compare(a, b) : left - right;
  }

  function sort(table, { column, down }) {
    const rows = [...table.tBodies[0].rows].map((row) => ({ row, key: keyOf(row, column) }));
    rows.sort((a, b) => {
      if (a.key === null || b.key === null) return (a.key === null) - (b.key === null); // empty cells last in either order
      return down ? compare(b.key, a.key) : compare(a.key, b.key);
    });
    table.tBodies[0].append(...rows.map(({ row }) => row));
    for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  function prepare(table) {
    for (const head of table.tHead.rows[0].cells) {
      if (head.querySelector("button, .visually-hidden")) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
    }
    const order = chosen.get(table.dataset.sortable);
    if (order) sort(table, order);
  }

  function prepareAll(part) {
    for (const table of part.querySelectorAll("table[data-sortable]")) prepare(table);
  }

  document.addEventListener("click", (event) => {
    const head = event.target.closest("table[data-sortable] .sort")?.closest("th");
    if (!head) return;
    const table = head.closest("table");
    const order = { column: head.cellIndex, down: head.getAttribute("aria-sort") === "ascending" };
    chosen.set(table.dataset.sortable, order);
    sort(table, order);
  });
  document.addEventListener("htmx:load", (event) => prepareAll(event.detail.elt.parentElement ?? document));
  prepareAll(document);
})();
