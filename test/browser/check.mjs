// Opens every page of the console of a running demo, and does what a person would do there.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [steno, browserPath, shots] = process.argv.slice(2);
const dir = mkdtempSync(join(tmpdir(), "steno-browser-"));
if (shots) mkdirSync(shots, { recursive: true });

let failures = 0;
const check = (ok, what) => {
  if (!ok) failures++;
  console.log(`${ok ? "ok  " : "FAIL"} ${what}`);
};

const server = spawn(steno, ["demo", "--json", "--data", join(dir, "data"), "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
const ended = new Promise((resolve) => server.on("exit", resolve));
const demo = await new Promise((resolve, reject) => {
  createInterface(server.stdout).once("line", (l) => resolve(JSON.parse(l)));
  ended.then((code) => reject(new Error(`the demo ended with ${code} before it was ready`)));
});
const api = async (path) => (await fetch(demo.console + path, { headers: { authorization: `Bearer ${demo.token}` } })).json();
const until = async (what, f) => {
  for (const end = Date.now() + 60_000; Date.now() < end; await new Promise((r) => setTimeout(r, 200))) {
    const v = await f();
    if (v) return v;
  }
  throw new Error(`waited a minute for ${what}`);
};

// One of each kind of exchange, once the sample traffic has made them.
const kinds = ["complete", "provider_error", "upstream_cut", "secret", "jailbreak", "injection"];
const found = await until("an exchange of each kind", async () => {
  const out = {};
  for (const r of (await api("/api/exchanges?limit=500")).rows) for (const k of [r.status, ...r.flags]) out[k] ??= r.id;
  return kinds.every((k) => out[k]) && out;
});

const browser = await chromium.launch({
  executablePath: browserPath,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const said = [], outside = [];
const open = async (options) => {
  const context = await browser.newContext(options);
  await context.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => console.error(`CSP: ${e.violatedDirective} ${e.blockedURI}`)));
  const page = await context.newPage();
  page.on("console", (m) => m.type() === "error" && said.push(`${page.url()}: ${m.text()}`));
  page.on("pageerror", (e) => said.push(`${page.url()}: ${e.message}`));
  page.on("request", (r) => { if (!r.url().startsWith(demo.console) && !r.url().startsWith("data:")) outside.push(r.url()); });
  await page.goto(`${demo.console}/login?token=${demo.token}`);
  return page;
};

try {
  const pages = {
    list: "/?since=15m", table: "/?since=15m&as=table", nobody: "/?user=nobody", events: "/events", integrity: "/integrity", connect: "/connect",
    raw: `/exchanges/${found.secret}?view=raw`, headers: `/exchanges/${found.complete}?view=headers`, json: `/exchanges/${found.complete}?view=json`,
  };
  for (const k of kinds) pages[k] = `/exchanges/${found[k]}`;
  for (const [colorScheme, width] of [["light", 1440], ["dark", 1440], ["light", 900], ["dark", 900]]) {
    const page = await open({ colorScheme, viewport: { width, height: 900 } });
    for (const [name, path] of Object.entries(pages)) {
      const answer = await page.goto(demo.console + path);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      const badge = await page.locator("header .demo").isVisible();
      check(answer.status() === 200 && badge && wide <= 0, `${name}, ${colorScheme}, ${width} px: there, says demo, no wider than the window (${wide})`);
      if (shots) await page.screenshot({ path: join(shots, `${name}-${colorScheme}-${width}.png`) });
    }
    await page.context().close();
  }

  const page = await open({ viewport: { width: 1440, height: 900 }, timezoneId: "Asia/Kathmandu" });
  await page.goto(demo.console + "/?since=15m");
  check((await page.locator("th .zone").first().textContent()) === "UTC+5:45", "times are the reader's own");
  const [shown, title] = await page.locator("#rows time").first().evaluate((t) => [t.textContent, t.title]);
  check(title.endsWith("UTC") && !title.includes(shown), "UTC and the exact instant on hover");

  const before = await page.locator("#rows tbody tr").first().getAttribute("id");
  await page.locator("#new:not([hidden])").waitFor({ timeout: 60_000 });
  check((await page.locator("#rows tbody tr").first().getAttribute("id")) === before, "new rows wait until they are asked for");
  await page.keyboard.press("n");
  await page.waitForFunction((id) => document.querySelector("#rows tbody tr")?.id !== id, before);
  check((await page.locator("#new").isHidden()), "n shows them");

  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  const row = await page.locator("#rows tr.at").getAttribute("id");
  check(row === (await page.locator("#rows tbody tr").nth(0).getAttribute("id")), "j and k move");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/exchanges/*");
  check(page.url().endsWith(row.slice(1)), "Enter opens");
  await page.keyboard.press("4");
  await page.waitForURL("**view=json");
  check(true, "4 is the JSON");
  await page.keyboard.press("Escape");
  await page.waitForURL("**/?since=15m");
  check(true, "Esc goes back to the list");
  for (const [key, path] of [["i", "/integrity"], ["c", "/connect"], ["v", "/events"], ["e", "/"]]) {
    await page.keyboard.press("g");
    await page.keyboard.press(key);
    await page.waitForURL((u) => u.pathname === path);
    await page.waitForLoadState("load");
    check(true, `g ${key} goes to ${path}`);
  }
  await page.keyboard.press("?");
  check(await page.locator("#keys").isVisible(), "? lists the keys");
  await page.keyboard.press("Escape");
  check(await page.locator("#keys").isHidden(), "Esc closes the list");

  await page.keyboard.press("/");
  await page.keyboard.type("user:ana");
  await page.locator('[data-value="user:ana.silva"]').waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  check((await page.inputValue("#search")) === "user:ana.silva ", "/ focuses the search box, which completes");
  await page.keyboard.press("Enter");
  await page.waitForURL((u) => u.searchParams.get("user") === "ana.silva");
  const users = await page.locator("#rows tbody tr td:nth-child(3)").allTextContents();
  check(users.length > 0 && users.every((u) => u.trim() === "ana.silva"), "a search is an address, and its rows are those asked for");
  await page.goBack();
  check(!page.url().includes("user="), "Back works");

  await page.goto(demo.console + "/?since=15m");
  const total = Number(await page.locator(".chart-head b").textContent().then((s) => s.replace(/\D/g, "")));
  await page.keyboard.press("t");
  await page.waitForURL("**as=table**");
  const sum = await page.locator(".chart tbody td:nth-child(3).n").allTextContents().then((l) => l.reduce((n, s) => n + Number(s.replace(/\D/g, "")), 0));
  const foot = Number(await page.locator(".chart tfoot td").first().textContent().then((s) => s.replace(/\D/g, "")));
  check(sum === foot && sum >= total, `t is the table of the same numbers: ${sum} in rows, ${foot} in all`);
  await page.goto(demo.console + "/?since=15m");
  const bars = page.locator("a.bar");
  const [from, to] = [await bars.nth(40).boundingBox(), await bars.nth(50).boundingBox()];
  await page.mouse.move(from.x + from.width / 2, from.y + 20);
  await page.mouse.down();
  await page.mouse.move(to.x + to.width / 2, to.y + 20, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL("**until=**");
  check(new URL(page.url()).searchParams.get("since") < new URL(page.url()).searchParams.get("until"), "a drag over bars is a range");

  await page.goto(`${demo.console}/exchanges/${found.secret}`);
  check((await page.locator(".masked").count()) > 0, "secrets are masked");
  await page.locator(".band a").click();
  await page.waitForURL("**reveal=1");
  check((await page.locator(".masked").count()) === 0 && (await page.locator(".band-flag").isVisible()), "shown when asked, and it says that this is on record");

  await page.goto(demo.console + "/integrity");
  check((await page.locator(".verdict-card .large.quiet").count()) === 2, "verdicts are grey until computed");
  await page.locator("#verify button").click();
  await page.locator(".verdict-card.is-holds").nth(1).waitFor();
  check(true, "both hold when computed");
  if (shots) await page.screenshot({ path: join(shots, "verdicts-light-1440.png") });

  await page.locator("#theme").click();
  await page.locator("#theme").click();
  await page.reload();
  check(await page.evaluate(() => document.documentElement.classList.contains("dark")), "a theme chosen by hand is kept");
  await page.context().close();

  const bare = await browser.newContext({ javaScriptEnabled: false });
  const plain = await bare.newPage();
  await plain.goto(`${demo.console}/login?token=${demo.token}`);
  await plain.selectOption("select[name=status]", "complete");
  await plain.locator(".filters .submit").click();
  check(plain.url().includes("status=complete") && (await plain.locator("#rows tbody tr").count()) > 0, "filters work without scripts");
  await plain.goto(demo.console + "/integrity");
  await plain.locator("#verify button").click();
  check((await plain.locator(".verdict-card.is-holds").count()) === 2, "verdicts work without scripts");

  check(said.length === 0, `no errors and no violations of the policy${said.map((s) => "\n     " + s).join("")}`);
  check(outside.length === 0, `nothing was asked of another host${outside.map((s) => "\n     " + s).join("")}`);
} catch (e) {
  check(false, e.stack);
} finally {
  await browser.close();
  server.kill("SIGINT");
  await ended;
  rmSync(dir, { recursive: true, force: true });
}
console.log(failures ? `${failures} failed` : "all well");
process.exit(failures ? 1 : 0);
