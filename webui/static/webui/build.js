// A build's log as it is written: follow, find. The page works without it, with "Load again".
"use strict";

(() => {
  const log = document.getElementById("log");
  if (!log) return;
  const follow = document.getElementById("log-follow");
  const find = document.getElementById("log-find");
  const found = document.getElementById("log-found");
  const count = document.getElementById("log-count");
  const ESCAPES = /\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07?/g;
  const KEPT = 5000; // more lines than that make a page slow; the file has them all
  let following = true;
  let at = -1;

  function show() {
    follow.textContent = following ? "following" : "follow";
    follow.classList.toggle("accent", following);
    follow.setAttribute("aria-pressed", String(following));
  }

  function toEnd() {
    if (following) log.scrollTop = log.scrollHeight;
  }

  function cell(name, text) {
    const element = document.createElement("span");
    element.className = name;
    element.textContent = text;
    return element;
  }

  function add(line) {
    document.getElementById("log-empty")?.remove();
    const row = document.createElement("div");
    row.className = line.tone ? `log-line ${line.tone}` : "log-line";
    row.append(
      cell("time", line.time),
      cell("step", line.step),
      cell("text", line.text.replace(ESCAPES, "")),
    );
    log.append(row);
    if (find.value) mark(row, find.value.toLowerCase());
    while (log.childElementCount > KEPT) log.firstElementChild.remove();
    toEnd();
  }

  function mark(row, words) {
    const cell = row.querySelector(".text");
    const text = cell.textContent;
    const lower = text.toLowerCase();
    const parts = [];
    let from = 0;
    for (let hit = lower.indexOf(words); words && hit >= 0; hit = lower.indexOf(words, from)) {
      const element = document.createElement("mark");
      element.textContent = text.slice(hit, hit + words.length);
      parts.push(text.slice(from, hit), element);
      from = hit + words.length;
    }
    if (parts.length || cell.querySelector("mark")) cell.replaceChildren(...parts, text.slice(from));
  }

  function search() {
    const words = find.value.toLowerCase();
    for (const row of log.querySelectorAll(".log-line")) mark(row, words);
    at = -1;
    if (words) jump(1);
    else found.textContent = "";
  }

  function jump(step) {
    const marks = [...log.querySelectorAll("mark")];
    log.querySelector("mark.at")?.classList.remove("at");
    if (!marks.length) {
      found.textContent = "not found";
      return;
    }
    at = (at + step + marks.length) % marks.length;
    following = false;
    show();
    marks[at].classList.add("at");
    marks[at].scrollIntoView({ block: "nearest" });
    found.textContent = `${at + 1} of ${marks.length}`;
  }

  // The last number seen goes along: by the address at first, by Last-Event-ID when it reconnects.
  function listen() {
    const source = new EventSource(`${log.dataset.events}?after=${log.dataset.after}`);
    source.addEventListener("line", (event) => {
      add(JSON.parse(event.data));
      count.textContent = Number(event.lastEventId).toLocaleString("en");
    });
    source.addEventListener("end", () => {
      source.close();
      follow.hidden = true;
    });
  }

  log.addEventListener("scroll", () => {
    const end = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    if (end === following) return;
    following = end;
    show();
  });
  follow.addEventListener("click", () => {
    following = !following;
    show();
    toEnd();
  });
  find.addEventListener("input", search);
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    jump(event.shiftKey ? -1 : 1);
  });

  find.hidden = false;
  if (log.dataset.events) {
    follow.hidden = false;
    toEnd();
    listen();
  }
})();
