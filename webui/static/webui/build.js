// The live log of a build: fold, follow, find, jump to the error, link to lines. The page works
// without this script, with "Load again".
"use strict";

(() => {
  const log = document.getElementById("log");
  if (!log) return;
  const byId = (name) => document.getElementById(`log-${name}`);
  const [follow, find, found, count, fold, errors] = ["follow", "find", "found", "count", "fold", "errors"].map(byId);
  const ESCAPES = /\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07?/g;
  const KEPT = 5000; // more lines make the page slow; the log file has all lines
  let following = true;
  let at = -1;
  let error = -1;
  let anchor = 0; // the first line of a selected range

  function show() {
    follow.textContent = following ? "following" : "follow";
    follow.classList.toggle("accent", following);
    follow.setAttribute("aria-pressed", String(following));
  }

  function unfollow() {
    following = false;
    show();
  }

  function toEnd() {
    if (following) log.scrollTop = log.scrollHeight;
  }

  // Scroll only the log, not the page around it.
  function reveal(row) {
    row.closest("details").open = true;
    const box = log.getBoundingClientRect();
    const place = row.getBoundingClientRect();
    if (place.top < box.top + 60 || place.bottom > box.bottom - 20) {
      log.scrollTop += place.top - box.top - box.height / 3;
    }
  }

  // Add lines as they arrive

  function element(tag, name, text) {
    const made = document.createElement(tag);
    made.className = name;
    made.textContent = text;
    return made;
  }

  function group(step) {
    const last = log.querySelector("details:last-of-type");
    if (last && last.dataset.step === step) return last;
    const made = byId("step").content.firstElementChild.cloneNode(true);
    made.dataset.step = step;
    const title = byId("titles").querySelector(`[data-step="${CSS.escape(step)}"]`);
    made.querySelector(".strong").textContent = title ? title.textContent : step;
    log.append(made);
    return made;
  }

  function add(line, number) {
    byId("empty")?.remove();
    const row = element("div", line.tone ? `log-line ${line.tone}` : "log-line", "");
    row.id = `L${number}`;
    if (line.level) row.dataset.level = line.level;
    const link = element("a", "at", number);
    link.href = `#L${number}`;
    link.setAttribute("aria-label", `Line ${number}`);
    row.append(link, element("span", "time", line.time), element("span", "text", line.text.replace(ESCAPES, "")));
    const step = group(line.step);
    step.append(row);
    const lines = step.querySelector(".step-lines");
    const many = Number.parseInt(lines.textContent.replaceAll(",", ""), 10) + 1;
    lines.textContent = `${many.toLocaleString("en")} ${many === 1 ? "line" : "lines"}`;
    if (find.value) mark(row, find.value.toLowerCase());
    const rows = log.getElementsByClassName("log-line");
    while (rows.length > KEPT) rows[0].remove();
    offerErrors();
    toEnd();
  }

  // Each request names the last received line: the first in its URL, a reconnection in Last-Event-ID.
  function listen() {
    const source = new EventSource(`${log.dataset.events}?after=${log.dataset.after}`);
    source.addEventListener("line", (event) => {
      add(JSON.parse(event.data), event.lastEventId);
      count.textContent = Number(event.lastEventId).toLocaleString("en");
    });
    source.addEventListener("end", (event) => {
      source.close();
      follow.hidden = true;
      if (JSON.parse(event.data).state === "failed") jumpToError(1);
    });
  }

  // Find

  function mark(row, words) {
    const cell = row.querySelector(".text");
    const text = cell.textContent;
    const lower = text.toLowerCase();
    const parts = [];
    let from = 0;
    for (let hit = lower.indexOf(words); words && hit >= 0; hit = lower.indexOf(words, from)) {
      parts.push(text.slice(from, hit), element("mark", "", text.slice(hit, hit + words.length)));
      from = hit + words.length;
    }
    if (parts.length || cell.querySelector("mark")) cell.replaceChildren(...parts, text.slice(from));
  }

  function search() {
    const words = find.value.toLowerCase();
    for (const row of log.getElementsByClassName("log-line")) mark(row, words);
    at = -1;
    if (words) jump(1);
    else found.textContent = "";
  }

  function jump(step) {
    const marks = log.getElementsByTagName("mark");
    log.querySelector("mark.at")?.classList.remove("at");
    if (!marks.length) {
      found.textContent = "not found";
      return;
    }
    at = (at + step + marks.length) % marks.length;
    unfollow();
    marks[at].classList.add("at");
    reveal(marks[at].closest(".log-line"));
    found.textContent = `${at + 1} of ${marks.length}`;
  }

  // Errors

  const wrong = () => log.querySelectorAll('[data-level="error"]');

  function offerErrors() {
    const many = wrong().length;
    errors.hidden = !many;
    errors.textContent = many > 1 ? `Jump to an error (${many})` : "Jump to the error";
  }

  function jumpToError(step) {
    const lines = wrong();
    if (!lines.length) return;
    error = (error + step + lines.length) % lines.length;
    unfollow();
    select(Number(lines[error].id.slice(1)), 0);
    reveal(lines[error]);
  }

  // Links to lines: #L12, or #L12-L20

  function select(from, to) {
    for (const row of log.querySelectorAll(".chosen")) row.classList.remove("chosen");
    const [low, high] = to ? [Math.min(from, to), Math.max(from, to)] : [from, from];
    for (let number = low; number <= high; number += 1) {
      document.getElementById(`L${number}`)?.classList.add("chosen");
    }
    return low;
  }

  function open(hash) {
    const match = /^#L(\d+)(?:-L(\d+))?$/.exec(hash);
    if (!match) return;
    const first = select(Number(match[1]), Number(match[2] ?? 0));
    anchor = first;
    const row = document.getElementById(`L${first}`);
    if (row) {
      unfollow();
      reveal(row);
    } else if (!new URLSearchParams(location.search).has("line")) {
      location.replace(`?line=${first}${hash}`); // the page does not hold the line: it is earlier in the log
    }
  }

  log.addEventListener("click", (event) => {
    const link = event.target.closest("a.at");
    if (!link) return;
    event.preventDefault();
    const number = Number(link.textContent);
    const hash = event.shiftKey && anchor ? `#L${Math.min(anchor, number)}-L${Math.max(anchor, number)}` : `#L${number}`;
    if (!event.shiftKey) anchor = number;
    history.replaceState(null, "", hash);
    select(event.shiftKey ? anchor : number, event.shiftKey ? number : 0);
    unfollow();
  });

  // Event handlers

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
  fold.addEventListener("click", () => {
    const steps = [...log.querySelectorAll("details")];
    const close = steps.some((step) => step.open);
    for (const step of steps) step.open = !close;
    fold.textContent = close ? "Unfold all" : "Fold all";
  });
  errors.addEventListener("click", () => jumpToError(1));
  find.addEventListener("input", search);
  find.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    jump(event.shiftKey ? -1 : 1);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select, dialog")) return;
    const act = { "/": () => find.focus(), e: () => jumpToError(1), f: () => follow.hidden || follow.click() }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  window.addEventListener("hashchange", () => open(location.hash));

  find.hidden = false;
  fold.hidden = false;
  offerErrors();
  if (log.dataset.events) {
    follow.hidden = false;
    toEnd();
    listen();
  }
  if (location.hash) open(location.hash);
  else if (!log.dataset.events) {
    const failed = log.querySelector("details.failed");
    if (failed) jumpToError(wrong().length);
  }
})();
