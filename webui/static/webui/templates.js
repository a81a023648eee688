// Shortcuts for the pages of templates. Each page works without this script.
"use strict";

(() => {
  // A link to a confirmation page opens a dialog on this page instead. shell.js shows and closes the
  // dialog; this handler selects the text of its [data-select] field.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog], dialog a[data-close]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const dialog = link.dataset.dialog && document.getElementById(link.dataset.dialog);
    if (link.dataset.dialog && !dialog) return;
    event.preventDefault();
    if (dialog) queueMicrotask(() => dialog.querySelector("[data-select]")?.select());
  }, true);

  // In a field for a reason, Enter submits the form, and Shift-Enter starts a new line.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    const field = event.target.closest("[data-enter]");
    if (!field) return;
    event.preventDefault();
    field.form.requestSubmit();
  });

  for (const field of document.querySelectorAll("[data-submit]")) {
    field.addEventListener("change", () => field.form.requestSubmit());
    for (const button of field.form.querySelectorAll("[data-hide]")) button.hidden = true;
  }

  // Show the number of packages chosen for an update.
  const form = document.getElementById("update-form");
  const said = document.getElementById("chosen");
  function tell() {
    const ticked = [...form.querySelectorAll('input[type="radio"]:checked')].filter((input) => input.value).length;
    const typed = form.elements.others.value.split(/[\s,]+/).filter(Boolean).length;
    const many = ticked + typed;
    said.textContent = many ? `${many} ${many === 1 ? "package moves" : "packages move"}` : "everything moves within its range";
  }
  if (form) {
    form.addEventListener("input", tell);
    form.addEventListener("htmx:afterSettle", tell);
    tell();
  }
})();
