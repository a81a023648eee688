// Show each file of the playground in a tab, and load Ace into each file after the page has loaded.
// Without this script the files are plain text fields, one below the other.
"use strict";

(() => {
  const MODES = {
    ts: "typescript", mts: "typescript", cts: "typescript", tsx: "typescript",
    js: "javascript", mjs: "javascript", cjs: "javascript", jsx: "javascript",
    py: "python", json: "json", toml: "toml", ini: "ini", cfg: "ini",
  };
  const form = document.getElementById("playground-form");
  let shown = 0;
  let many = form.querySelectorAll(".editor-file").length;

  function modeOf(path) {
    return MODES[path.trim().split(".").at(-1).toLowerCase()] ?? "text";
  }

  function edit(file) {
    const field = file.querySelector("textarea.editor");
    const path = file.querySelector('input[name="path"]');
    if (field.readOnly || field.hidden) return;
    const label = field.labels[0].textContent;
    for (const old of [...field.labels]) old.remove(); // from now on, Ace has the label
    const editor = editorOver(field, {
      mode: modeOf(path.value), label, minLines: 14, run: () => form.requestSubmit(),
    });
    path.addEventListener("change", () => editor.session.setMode(`ace/mode/${modeOf(path.value)}`));
    file.addEventListener("shown", () => editor.resize());
  }

  function show(files, tabs, index) {
    shown = index;
    for (const [at, tab] of tabs.entries()) {
      tab.setAttribute("aria-selected", at === index);
      tab.tabIndex = at === index ? 0 : -1;
      files[at].hidden = at !== index;
    }
    files[index].dispatchEvent(new Event("shown"));
  }

  function tabFor(file, at) {
    const path = file.querySelector('input[name="path"]');
    const tab = document.createElement("button");
    Object.assign(tab, { type: "button", id: `file-tab-${at + 1}`, role: "tab" });
    Object.assign(file, { id: `file-${at + 1}`, role: "tabpanel" });
    tab.setAttribute("aria-controls", file.id);
    file.setAttribute("aria-labelledby", tab.id);
    const say = () => { tab.textContent = path.value.trim() || `File ${at + 1}`; };
    path.addEventListener("input", say);
    say();
    return tab;
  }

  function lay() {
    const files = [...form.querySelectorAll(".editor-file")];
    const grown = files.length > many;
    many = files.length;
    if (window.ace) {
      files.forEach(edit);
      document.getElementById("editor-help").hidden = false;
    }
    if (files.length < 2 || form.querySelector(".file-tabs")) return;
    const list = document.createElement("div");
    list.className = "file-tabs";
    list.setAttribute("role", "tablist");
    list.setAttribute("aria-label", "Files");
    const tabs = files.map(tabFor);
    list.append(...tabs);
    files[0].before(list);
    list.addEventListener("click", (event) => {
      if (tabs.includes(event.target)) show(files, tabs, tabs.indexOf(event.target));
    });
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(files, tabs, (shown + step + tabs.length) % tabs.length);
      tabs[shown].focus();
    });
    show(files, tabs, grown ? files.length - 1 : Math.min(shown, files.length - 1));
    if (grown) files.at(-1).querySelector('input[name="path"]').focus();
  }

  function fetchScript(url) {
    return new Promise((done, failed) => {
      document.head.append(Object.assign(document.createElement("script"), { src: url, onload: done, onerror: failed }));
    });
  }

  async function fetchAce() {
    document.head.prepend(Object.assign(document.createElement("link"), { rel: "stylesheet", href: form.dataset.aceStyle }));
    await fetchScript(form.dataset.ace);
    for (const mode of new Set(Object.values(MODES))) {
      ace.config.setModuleUrl(`ace/mode/${mode}`, form.getAttribute(`data-mode-${mode}`));
    }
    lay();
  }

  document.addEventListener("htmx:load", lay);
  lay();
  const idle = window.requestIdleCallback ?? setTimeout;
  if (document.readyState === "complete") idle(fetchAce);
  else window.addEventListener("load", () => idle(fetchAce));
})();
