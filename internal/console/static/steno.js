// Pages are whole without this file. It adds keys, completion, local times, copying and rows as they come.
(() => {
  "use strict";
  const $ = (s, of = document) => of.querySelector(s);
  const $$ = (s, of = document) => [...of.querySelectorAll(s)];

  // Times: the server writes UTC; the reader's own zone is shown, UTC and the exact instant on hover.
  const pad = (n, w = 2) => String(n).padStart(w, "0");
  const day = (d) => `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
  const clock = (d) => `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
  const zone = () => {
    const m = -new Date().getTimezoneOffset();
    return m === 0 ? "UTC" : `UTC${m < 0 ? "−" : "+"}${Math.floor(Math.abs(m) / 60)}${m % 60 ? ":" + pad(Math.abs(m) % 60) : ""}`;
  };
  const ago = (d) => {
    const s = Math.round((Date.now() - d) / 1000);
    return s < 10 ? "a moment ago" : s < 90 ? `${s} s ago` : s < 5400 ? `${Math.round(s / 60)} min ago` : `at ${clock(d)}`;
  };
  const written = {
    clock: (d) => clock(d),
    short: (d) => (day(d) === day(new Date()) ? clock(d) : `${day(d).slice(5)} ${clock(d)}`),
    range: (d) => (day(d) === day(new Date()) ? clock(d) : `${day(d)} ${clock(d)}`),
    axis: (d) => (day(d) === day(new Date()) ? clock(d).slice(0, 5) : `${day(d).slice(5)} ${clock(d).slice(0, 5)}`),
    full: (d) => `${day(d)} ${clock(d)} ${zone()}`,
    exact: (d) => `${clock(d)}.${pad(d.getMilliseconds(), 3)}`,
    ago,
  };
  const localise = (root) => {
    for (const t of $$("time[data-as]", root)) {
      const d = new Date(t.dateTime);
      if (written[t.dataset.as] && !isNaN(d)) t.textContent = written[t.dataset.as](d);
    }
    for (const z of $$(".zone", root)) z.textContent = zone();
  };
  localise(document);
  setInterval(() => { for (const t of $$("time[data-as=ago]")) t.textContent = ago(new Date(t.dateTime)); }, 5000);

  // Theme: the system's, light, dark, and round again.
  const themes = ["system", "light", "dark"];
  const themeNow = () => themes.find((t) => document.documentElement.classList.contains(t)) || "system";
  const sayTheme = () => { $("#theme-word").textContent = themeNow(); };
  sayTheme();
  $("#theme").addEventListener("click", () => {
    const next = themes[(themes.indexOf(themeNow()) + 1) % themes.length];
    document.documentElement.classList.remove(...themes);
    if (next !== "system") document.documentElement.classList.add(next);
    try { next === "system" ? localStorage.removeItem("steno-theme") : localStorage.setItem("steno-theme", next); } catch { /* it holds for this page */ }
    sayTheme();
  });

  // Copying: what was copied says so in its own place.
  const copy = async (text, at) => {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    at.classList.add("copied");
    setTimeout(() => at.classList.remove("copied"), 1200);
  };
  document.addEventListener("click", (e) => {
    const c = e.target.closest("[data-copy]");
    if (c) copy(c.dataset.copy, c);
    const from = e.target.closest("[data-copy-from]");
    if (from) copy($("#" + from.dataset.copyFrom).textContent, from);
  });

  // Filters take effect as they are chosen; empty ones stay out of the address.
  const submit = (form) => {
    const q = new URLSearchParams();
    for (const [k, v] of new FormData(form)) if (v) q.set(k, v);
    location.href = form.getAttribute("action") + (q.size ? "?" + q : "");
  };
  document.documentElement.classList.add("scripted");
  document.addEventListener("change", (e) => {
    const form = e.target.closest("form[data-submits]");
    if (form) submit(form);
  });
  document.addEventListener("submit", (e) => {
    if (e.target.matches("form[data-submits]")) { e.preventDefault(); submit(e.target); }
  });

  // Rows: j and k move, Enter opens.
  let at = -1;
  const rows = () => $$("#rows tbody tr");
  const move = (by) => {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex((r) => r.classList.contains("at"));
    at = Math.min(Math.max((now < 0 ? (by > 0 ? -1 : all.length) : now) + by, 0), all.length - 1);
    all.forEach((r, i) => r.classList.toggle("at", i === at));
    all[at].querySelector("a.open").focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "nearest" });
  };
  document.addEventListener("click", (e) => {
    const row = e.target.closest("#rows tbody tr");
    if (!row || e.target.closest("a,button") || String(getSelection())) return;
    row.querySelector("a.open").click();
  });

  // The search box and its completions.
  const box = $("#search"), list = $("#completions");
  const options = () => $$("[role=option]", list);
  const shut = () => { list.replaceChildren(); box.setAttribute("aria-expanded", "false"); };
  const take = (o) => {
    const text = box.value.replace(/\S*$/, "");
    box.value = text + o.dataset.value + (o.dataset.value.endsWith(":") ? "" : " ");
    box.focus();
    if (o.dataset.value.endsWith(":")) htmx.trigger(box, "input"); else shut();
  };
  document.body.addEventListener("htmx:afterSwap", (e) => {
    if (e.target === list) {
      if (document.activeElement !== box) return shut();
      box.setAttribute("aria-expanded", String(options().length > 0));
    }
    localise(e.target);
  });
  list.addEventListener("mousedown", (e) => {
    const o = e.target.closest("[role=option]");
    if (o) { e.preventDefault(); take(o); }
  });
  box.addEventListener("blur", () => setTimeout(shut, 100));
  box.addEventListener("keydown", (e) => {
    const all = options(), i = all.findIndex((o) => o.getAttribute("aria-selected") === "true");
    if ((e.key === "ArrowDown" || e.key === "ArrowUp") && all.length) {
      e.preventDefault();
      const next = (i + (e.key === "ArrowDown" ? 1 : -1) + all.length) % all.length;
      all.forEach((o, k) => o.setAttribute("aria-selected", String(k === next)));
    } else if ((e.key === "Enter" || e.key === "Tab") && i >= 0) {
      e.preventDefault();
      take(all[i]);
    } else if (e.key === "Escape") {
      if (all.length) shut(); else box.blur();
      e.stopPropagation();
    }
  });

  // Esc on an exchange goes back to the list that it was opened from, with its filters.
  const lastList = () => { try { return sessionStorage.getItem("steno-list") || "/"; } catch { return "/"; } };
  if ($("#rows")) try { sessionStorage.setItem("steno-list", location.pathname + location.search); } catch { /* then it is the first page */ }

  // Keys.
  const dialog = $("#keys");
  const goes = { e: "/", v: "/events", g: "/governance", m: "/monitoring", i: "/integrity", c: "/connect" };
  let waiting = 0;
  $("#help").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input,select,textarea") || dialog.open) return;
    if (Date.now() - waiting < 1500 && goes[e.key]) { waiting = 0; location.href = goes[e.key]; return; }
    waiting = 0;
    switch (e.key) {
      case "/": e.preventDefault(); box.focus(); box.select(); break;
      case "?": dialog.showModal(); break;
      case "j": move(1); break;
      case "k": move(-1); break;
      case "g": waiting = Date.now(); break;
      case "n": { const n = $("#new:not([hidden])"); if (n) n.click(); break; }
      case "t": { const a = $("#as"); if (a) a.click(); break; }
      case "Enter": { const r = $("#rows tr.at a.open"); if (r && document.activeElement === document.body) r.click(); break; }
      case "Escape": {
        const open = $$("details[open]").filter((d) => d.contains(document.activeElement)).pop();
        if (open) { open.open = false; break; }
        if ($("#exchange")) location.href = lastList();
        break;
      }
      default: { const tab = $(`[data-key="${CSS.escape(e.key)}"]`); if (tab) tab.click(); }
    }
  });

  // Lines of JSON as they come. done is called when the stream ends, with what went wrong if anything did.
  const follow = async (url, options, line) => {
    const answer = await fetch(url, options);
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      for (const p of parts) if (p.trim()) line(JSON.parse(p));
    }
  };
  const row = (html) => {
    const t = document.createElement("template");
    t.innerHTML = html;
    return t.content.firstElementChild;
  };

  // New rows wait until they are asked for; rows that are shown change where they stand.
  let stop = null, fresh = new Set();
  const sayFresh = () => {
    const link = $("#new");
    if (!link) return;
    link.hidden = fresh.size === 0;
    $("b", link).textContent = fresh.size >= 999 ? "999+" : String(fresh.size);
    document.title = document.title.replace(/^\(\d+\+?\) /, "");
    if (fresh.size) document.title = `(${fresh.size}) ${document.title}`;
  };
  const live = () => {
    const page = $("#list[data-live]");
    if (stop) stop.abort();
    fresh = new Set();
    sayFresh();
    if (!page) return;
    const mine = new AbortController();
    stop = mine;
    const word = $("#live");
    const newest = () => { const r = $("#rows tbody tr time"); return r ? r.dateTime : ""; };
    const from = newest();
    follow(page.dataset.live, { signal: mine.signal }, (c) => {
      if (c.error) { word.textContent = "Not live any more: " + c.error; return; }
      word.textContent = "live";
      const shown = document.getElementById("x" + c.id);
      const next = row(c.html);
      if (shown) {
        if (shown.dataset.state === c.state) return;
        const was = shown.classList.contains("at");
        const focus = shown.contains(document.activeElement);
        localise(next);
        next.classList.add("changed");
        next.classList.toggle("at", was);
        shown.replaceWith(next);
        if (focus) next.querySelector("a.open").focus({ preventScroll: true });
      } else if (!from || new Date($("time", next).dateTime) > new Date(from)) {
        fresh.add(c.id);
        sayFresh();
      }
    }).then(() => { if (!mine.signal.aborted) throw new Error("the server ended it"); }).catch((e) => {
      if (mine.signal.aborted) return;
      word.textContent = `Not live (${e.message}); trying again`;
      setTimeout(() => { if (stop === mine) live(); }, 5000);
    });
  };
  document.addEventListener("click", (e) => {
    const link = e.target.closest("#new");
    if (!link) return;
    e.preventDefault();
    if (stop) stop.abort();
    htmx.ajax("GET", location.pathname + location.search, { target: "#list", select: "#list", swap: "outerHTML" }).then(() => { localise(document); live(); scrollTo(0, 0); });
  });
  addEventListener("pagehide", () => { if (stop) stop.abort(); });
  addEventListener("pageshow", (e) => { if (e.persisted) live(); });
  live();

  // A drag over bars is a range of time; a click is the bar's link.
  let first = null;
  document.addEventListener("pointerdown", (e) => { first = e.target.closest("a.bar"); });
  document.addEventListener("dragstart", (e) => { if (e.target.closest && e.target.closest("#chart")) e.preventDefault(); });
  document.addEventListener("pointermove", (e) => {
    const over = first && e.target.closest("a.bar");
    if (!over) return;
    const all = $$("a.bar"), a = all.indexOf(first), b = all.indexOf(over);
    all.forEach((x, i) => x.classList.toggle("picked", a !== b && i >= Math.min(a, b) && i <= Math.max(a, b)));
  });
  document.addEventListener("pointerup", (e) => {
    const last = first && e.target.closest("a.bar");
    if (last && last !== first) {
      const ends = [first, last].sort((x, y) => new Date(x.dataset.since) - new Date(y.dataset.since));
      const u = new URL(location.href);
      u.searchParams.delete("before");
      u.searchParams.set("since", ends[0].dataset.since);
      u.searchParams.set("until", ends[1].dataset.until);
      location.href = u;
    }
    first = null;
    $$("a.bar.picked").forEach((x) => x.classList.remove("picked"));
  });

  // An exchange that is under way: the page comes again when more of it is durable.
  const followed = $("[data-follow]");
  if (followed) {
    const quit = new AbortController();
    addEventListener("pagehide", () => quit.abort());
    follow(followed.dataset.follow, { signal: quit.signal }, (c) => {
      if (Number(c.leaf) > Number(followed.dataset.leaf)) location.reload();
    }).catch(() => { /* the page says how to go on without this */ });
  }

  // The verdicts, with numbers while they are computed.
  const form = $("#verify");
  if (form) form.addEventListener("submit", async (e) => {
    e.preventDefault();
    const button = $("button", form), bar = $("#progress"), words = $("#progress-words");
    const mib = (n) => (n / (1 << 20)).toFixed(1);
    button.disabled = true;
    bar.hidden = false;
    bar.removeAttribute("value");
    words.textContent = "reading";
    let done = false;
    try {
      await follow("/integrity", { method: "POST", headers: { accept: "application/x-ndjson" } }, (c) => {
        if (c.error) throw new Error(c.error);
        if (c.html) {
          done = true;
          const t = document.createElement("template");
          t.innerHTML = c.html;
          localise(t.content);
          $("#verdicts").replaceChildren(t.content);
          return;
        }
        if (c.total > 0) { bar.max = c.total; bar.value = c.done; }
        words.textContent = c.total > 0 ? `${mib(c.done)} of ${mib(c.total)} MiB` : `${mib(c.done)} MiB`;
      });
      words.textContent = done ? "" : "It ended without an answer. Compute again.";
    } catch (err) {
      words.textContent = `Could not be computed: ${err.message}`;
    }
    bar.hidden = true;
    button.disabled = false;
    button.textContent = "Compute again";
  });
})();
