// Theme, dialogs and palette of the shell. Each page works without this script.
"use strict";

const palette = document.getElementById("palette");

// On a narrow screen the navigation scrolls: scroll the current page into view.
const here = document.querySelector(".rail-nav [aria-current]");
if (here) here.closest(".rail").scrollLeft = here.offsetLeft - 60;

function setTheme(theme) {
  if (theme === "system") {
    localStorage.removeItem("stencil-theme");
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem("stencil-theme", theme);
    document.documentElement.dataset.theme = theme;
  }
}

function filterPalette(words) {
  const wanted = words.trim().toLowerCase().split(/\s+/);
  for (const item of palette.querySelectorAll("li")) {
    const text = item.textContent.toLowerCase();
    item.hidden = !wanted.every((word) => text.includes(word));
  }
}

function openPalette() {
  if (!palette || palette.open) return;
  palette.showModal();
  const input = palette.querySelector("input");
  input.value = "";
  filterPalette("");
  input.focus();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-theme-choice], [data-dialog], [data-close], [data-copy], [data-palette]");
  if (!button) return;
  if (button.dataset.themeChoice) setTheme(button.dataset.themeChoice);
  if (button.dataset.palette !== undefined) openPalette();
  if (button.dataset.dialog) document.getElementById(button.dataset.dialog)?.showModal();
  if (button.dataset.close !== undefined) button.closest("dialog")?.close();
  if (button.dataset.copy) {
    const text = document.getElementById(button.dataset.copy)?.textContent ?? "";
    navigator.clipboard.writeText(text).then(() => {
      const before = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  }
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    openPalette();
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    document.querySelector("form[data-ctrl-enter]")?.requestSubmit();
  }
  if (palette?.open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    const links = [...palette.querySelectorAll("li:not([hidden]) a")];
    const step = event.key === "ArrowDown" ? 1 : -1;
    const at = links.indexOf(document.activeElement) + step;
    (links[at] ?? palette.querySelector("input")).focus();
  }
});

palette?.querySelector("input").addEventListener("input", (event) => filterPalette(event.target.value));
palette?.querySelector("form").addEventListener("submit", (event) => {
  event.preventDefault();
  palette.querySelector("li:not([hidden]) a")?.click();
});

// If live parts cannot be loaded, one message above the page says so until they load again.
const offline = document.querySelector("#offline .notice");

function sayOffline(words) {
  if (!offline) return;
  offline.textContent = words;
  offline.hidden = false;
}

document.addEventListener("htmx:sendError", () => {
  sayOffline("The server does not answer. The page shows its last state and continues by itself when the server is back.");
});
document.addEventListener("htmx:responseError", (event) => {
  const status = event.detail.xhr.status;
  if (status === 403) sayOffline("You are not allowed to do this, or your session has changed: reload the page.");
  else if (status >= 500) sayOffline(`The server could not answer (${status}). The page shows its last state and tries again.`);
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (offline && event.detail.successful) offline.hidden = true;
});
