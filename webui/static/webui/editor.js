// Show Ace in place of a text field. The field keeps its name and its text: the form also works without Ace.
"use strict";

function editorOver(field, { mode, label, minLines, run }) {
  ace.config.set("useStrictCSP", true); // Ace adds no inline styles; ace.css has them
  ace.config.set("loadWorkerFromBlob", false);
  const box = document.createElement("div");
  box.className = "ace-box";
  field.after(box);
  const session = ace.createEditSession(field.value, "ace/mode/text");
  session.setUseWorker(false); // before setMode, which would start a worker
  session.setMode(`ace/mode/${mode}`);
  const editor = ace.edit(box, {
    session,
    tabSize: 2,
    useSoftTabs: true,
    showPrintMargin: false,
    minLines,
    maxLines: 32,
    fontSize: 12.5,
    highlightActiveLine: false,
    enableKeyboardAccessibility: true, // Enter starts editing, Escape ends it, and Tab then leaves the editor
    textInputAriaLabel: label,
  });
  editor.textInput.setAriaLabel(); // again: Ace set the label before the name was known
  editor.session.on("change", () => { field.value = editor.getValue(); });
  editor.commands.addCommand({
    name: "run",
    bindKey: { win: "Ctrl-Enter", mac: "Command-Enter" },
    exec: run,
  });
  if (document.activeElement === field) {
    const before = field.value.slice(0, field.selectionStart).split("\n");
    editor.moveCursorTo(before.length - 1, before.at(-1).length);
    editor.focus();
  }
  field.hidden = true;
  field.tabIndex = -1;
  return editor;
}
