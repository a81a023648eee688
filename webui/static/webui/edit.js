// Ace over the fields of an edit.
"use strict";

(() => {
  if (!window.ace) return;
  for (const field of document.querySelectorAll("textarea.source")) {
    editorOver(field, {
      mode: field.dataset.mode,
      label: document.getElementById(field.getAttribute("aria-labelledby")).textContent,
      minLines: 6,
      run: () => field.form.requestSubmit(field.form.querySelector('[value="preview"]')),
    });
  }
})();
