"use strict";
// Opens cases, chooses messages, filters. Everything that it shows was written as escaped markup with the page.
(() => {
const all = (what, within = document) => [...within.querySelectorAll(what)];
const one = (what, within = document) => within.querySelector(what);
document.documentElement.classList.add("scripted");

// ---- traces: packs of deflated pieces, inflated when a case in them is opened
const packs = all("script.pack").map(it => ({ first: +it.dataset.first, it, read: null }));

function inflate(pack) {
  pack.read ??= (async () => {
    const octets = Uint8Array.from(atob(pack.it.textContent), c => c.charCodeAt(0));
    const stream = new Blob([octets]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return new Response(stream).json();
  })();
  return pack.read;
}

async function fill(details) {
  if (details.dataset.full) return;
  details.dataset.full = "yes";
  const n = +details.dataset.n;
  const pack = packs.findLast(it => it.first <= n);
  const body = one(".body", details);
  try {
    const { p, c } = await inflate(pack);
    body.innerHTML = c[n - pack.first].map(index => p[index]).join("");
  } catch (why) {
    body.insertAdjacentHTML("beforeend", "<p class=\"notice\">This browser cannot open the packed trace; run.json holds it.</p>");
    return;
  }
  const events = one(".seen-events", body);
  if (!events) return;
  const tools = document.createElement("div");
  tools.className = "tools";
  tools.innerHTML = "<button type=\"button\">Show all messages</button><span>Arrow keys go from one to the next.</span>";
  const button = tools.firstChild;
  button.onclick = () => {
    const every = events.classList.toggle("all");
    button.textContent = every ? "Show one message" : "Show all messages";
  };
  events.prepend(tools);
  const rows = all("a.row", body);
  const start = rows.find(row => row.matches(".wrong")) ?? rows.find(row => one("path", row)) ?? rows[0];
  if (start) choose(start, false);
}

// ---- ladder: an arrow shows its message
function choose(row, tell = true) {
  const trace = row.closest(".trace");
  if (!trace) return;
  const id = row.getAttribute("href").slice(1);
  all(".chosen", trace).forEach(it => { it.classList.remove("chosen"); it.removeAttribute("aria-current"); });
  row.classList.add("chosen");
  row.setAttribute("aria-current", "true");
  const event = document.getElementById(id);
  event?.classList.add("chosen");
  if (tell) history.replaceState(null, "", "#" + id);
  const mark = event && one("mark", event);
  const pane = one(".seen-events", trace);
  if (pane.classList.contains("all")) event?.scrollIntoView({ block: "nearest" });
  else pane.scrollTop = mark ? Math.max(0, mark.offsetTop - pane.offsetTop - pane.clientHeight / 2) : 0;
  if (!tell) return;
  // Below the ladder, on a narrow page, the message would stay out of sight.
  if (pane.getBoundingClientRect().top > innerHeight * 0.8) pane.scrollIntoView({ block: "start" });
}

document.addEventListener("click", event => {
  const row = event.target.closest("a.row");
  if (row && row.closest(".trace")) { event.preventDefault(); choose(row); row.focus({ preventScroll: true }); return; }
  const link = event.target.closest("a[href^='#']");
  if (link && link.getAttribute("href").length > 1 && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    history.pushState(null, "", link.getAttribute("href"));
    go();
  }
});

document.addEventListener("keydown", event => {
  if (event.key === "/" && !event.target.matches("input, select, textarea")) {
    event.preventDefault();
    one("form[data-for=cases] [name=words]").focus();
  }
  const row = document.activeElement?.closest?.("a.row");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!row || !step || !row.closest(".trace")) return;
  const rows = all("a.row", row.closest("svg"));
  const next = rows[rows.indexOf(row) + step];
  if (next) { event.preventDefault(); next.focus(); choose(next); }
});

// ---- addresses: #case-…, #c12e3 (an event of a case), or any other place
async function go() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (!id) return;
  const event = /^c(\d+)e\d+$/.exec(id);
  const named = document.getElementById(id);
  const details = event ? one(`details.case[data-n="${event[1]}"]`) : named?.closest("details.case");
  if (!details) {
    for (let up = named; up; up = up.parentElement) up.hidden = false;
    named?.closest("details")?.setAttribute("open", "");
    named?.scrollIntoView();
    return;
  }
  details.hidden = false;
  details.closest(".group").hidden = false;
  details.open = true;
  await fill(details);
  const row = event && one(`a.row[href="#${id}"]`, details);
  if (row) choose(row, false);
  (row ?? details).scrollIntoView({ block: row ? "center" : "start" });
  (row ?? one("summary", details)).focus({ preventScroll: true });
}

// A case that is opened is filled; `toggle` does not bubble, so it is caught on its way down.
document.addEventListener("toggle", event => {
  if (event.target.matches("details.case") && event.target.open) fill(event.target);
}, true);

// ---- filters
const requirements = all("#requirements tbody tr");
const cases = all("details.case");
const words = it => it.words ??= it.textContent.toLowerCase();
const head = it => it.words ??= one("summary", it).textContent.toLowerCase();

function filter(form, items, text, keep, noun) {
  const chosen = name => all(`[name=${name}]:checked`, form).map(it => it.value);
  const apply = () => {
    const wanted = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = chosen("verdict");
    const levels = chosen("level");
    let shown = 0;
    for (const it of items) {
      const verdict = it.dataset.verdict ?? it.classList[1];
      const fits = (!verdicts.length || verdicts.includes(verdict))
        && (!levels.length || levels.includes(it.dataset.level))
        && keep(it) && wanted.every(word => text(it).includes(word));
      it.hidden = !fits;
      shown += fits;
    }
    all(".clause", form.parentElement).forEach(it => { it.hidden = !one("tbody tr:not([hidden])", it); });
    all(".group", form.parentElement).forEach(it => { it.hidden = !one("details.case:not([hidden])", it); });
    one("output", form).textContent = `${shown} of ${items.length} ${noun}`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
  apply();
}

const select = one("form[data-for=cases] select");
filter(one("form[data-for=requirements]"), requirements, words, () => true, "requirements");
filter(one("form[data-for=cases]"), cases, head, it => !select.value || it.dataset.r.split(" ").includes(select.value), "cases");

addEventListener("hashchange", go);
addEventListener("popstate", go);
go();
})();
