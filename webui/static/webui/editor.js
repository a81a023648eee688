// Ace in place of a text field. The field keeps its name and its text, so the form works without Ace.
"use strict";

function editorOver(field, { mode, label, minLines, run }) {
  ace.config.set("useStrictCSP", true); // its styles come from our own files
  ace.config.set("loadWorkerFromBlob", false);
  const box = document.createElement("div");
  box.className = "ace-box";
  field.after(box);
  const session = ace.createEditSession(field.value, "ace/mode/text");
  session.setUseWorker(false); // before the mode, which would start one
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
    enableKeyboardAccessibility: true, // Tab leaves it again; Enter goes in, Escape comes out
    textInputAriaLabel: label,
  });
  editor.textInput.setAriaLabel(); // once more: it was made before it knew its name
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
