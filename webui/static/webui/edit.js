// Replace the text fields of an edit form by Ace.
"use strict";

(() => {
  if (!window.ace) return;
  for (const field of document.querySelectorAll("textarea.source")) {
    const editor = editorOver(field, {
      mode: field.dataset.mode,
      label: document.getElementById(field.getAttribute("aria-labelledby")).textContent,
      minLines: 6,
      run: () => field.form.requestSubmit(field.form.querySelector('[value="preview"]')),
    });
    if (field.dataset.row === undefined) continue;
    const row = Number(field.dataset.row);
    editor.session.addGutterDecoration(row, "fault-line");
    editor.session.addMarker(new (ace.require("ace/range").Range)(row, 0, row, 1), "fault-line", "fullLine");
    editor.gotoLine(row + 1, 0, false);
  }
})();
