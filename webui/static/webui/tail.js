// Add new rows on top, except while the user reads the list. While the pointer or the focus is in the
// list, or the page is scrolled into the list, a button shows the number of new rows.
"use strict";

const list = document.querySelector("#executions[data-live]");
const more = document.getElementById("tail-more");
let waiting = null;

function reading() {
  return list.matches(":hover") || list.contains(document.activeElement) || list.getBoundingClientRect().top < 0;
}

function rowsOf(node) {
  return new Set([...node.querySelectorAll("a.row-link")].map((link) => link.id));
}

function show(html) {
  const across = list.querySelector(".table-scroll")?.scrollLeft ?? 0;
  list.innerHTML = html;
  const table = list.querySelector(".table-scroll");
  if (table) table.scrollLeft = across;
  waiting = null;
  more.hidden = true;
}

// Update known rows in place: change only their values, and move no row.
function refresh(fresh) {
  for (const row of list.querySelectorAll("tbody tr")) {
    const link = row.querySelector("a.row-link");
    const now = link && fresh.getElementById(link.id)?.closest("tr");
    if (!now || row.contains(document.activeElement)) continue;
    if (row.innerHTML !== now.innerHTML) row.innerHTML = now.innerHTML;
  }
}

if (list) {
  list.addEventListener("htmx:beforeSwap", (event) => {
    if (event.target !== list || !event.detail.shouldSwap) return;
    event.detail.shouldSwap = false;
    const html = event.detail.serverResponse;
    const fresh = new DOMParser().parseFromString(html, "text/html");
    const known = rowsOf(list);
    const count = [...rowsOf(fresh)].filter((id) => !known.has(id)).length;
    if (!reading() || known.size === 0) return show(html);
    refresh(fresh);
    waiting = html;
    more.hidden = count === 0;
    more.textContent = count === 1 ? "Show 1 new execution" : `Show ${count} new executions`;
  });
  more.addEventListener("click", () => {
    if (waiting !== null) show(waiting);
    list.scrollIntoView({ block: "nearest" });
  });
}
