// Ace over the fields of an edit. Without it they are plain fields, and all else is the same.
"use strict";

(() => {
  if (!window.ace) return;
  ace.config.set("useStrictCSP", true); // its styles come from our own files
  ace.config.set("loadWorkerFromBlob", false);

  for (const field of document.querySelectorAll("textarea.source")) {
    const box = document.createElement("div");
    box.className = "ace-box";
    field.after(box);
    const session = ace.createEditSession(field.value, "ace/mode/text");
    session.setUseWorker(false); // before the mode, which would start one
    session.setMode(`ace/mode/${field.dataset.mode}`);
    const editor = ace.edit(box, {
      session,
      tabSize: 2,
      useSoftTabs: true,
      showPrintMargin: false,
      minLines: 6,
      maxLines: 32,
      fontSize: 12.5,
      highlightActiveLine: false,
      enableKeyboardAccessibility: true, // Tab leaves it again; Enter goes in, Escape comes out
      textInputAriaLabel: document.getElementById(field.getAttribute("aria-labelledby")).textContent,
    });
    editor.session.on("change", () => { field.value = editor.getValue(); });
    editor.commands.addCommand({
      name: "preview",
      bindKey: { win: "Ctrl-Enter", mac: "Command-Enter" },
      exec: () => field.form.requestSubmit(field.form.querySelector('[value="preview"]')),
    });
    field.hidden = true;
    field.tabIndex = -1;
  }
})();
