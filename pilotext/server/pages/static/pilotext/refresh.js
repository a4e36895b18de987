// Refreshes the content of a page while it is seen. Without this script a page stays as it was loaded.
"use strict";
const content = document.getElementById("content"), line = document.getElementById("refresh");
const every = 1000 * content.dataset.refreshS, longest = 300_000, patience = 30_000;
let wait = every, timer = setTimeout(refresh, wait), asking = false;
document.addEventListener("visibilitychange", refresh);

async function refresh() {
  if (document.hidden || asking) return; // a hidden page goes on when it is seen
  clearTimeout(timer);
  asking = true;
  const pause = paused();
  const trouble = pause ? "" : await ask().catch(() => "the server cannot be reached");
  wait = trouble ? Math.min(2 * wait, longest) : every;
  line.classList.toggle("bad", trouble !== "");
  line.lastChild.textContent = trouble ? `, not refreshed since: ${trouble}` : pause || paused();
  asking = false;
  timer = setTimeout(refresh, wait);
}

// Asks whether the page has changed, and shows what has; returns why it cannot, or nothing.
async function ask() {
  const headers = {"If-None-Match": content.dataset.stamp};
  const answer = await fetch(location.href, {headers, redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(patience)});
  if (answer.type === "opaqueredirect" || answer.status === 401) return "your login has ended; reload the page to log in";
  if (!answer.ok && answer.status !== 304) return `the server answers ${answer.status}`;
  if (answer.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html"), fresh = page.getElementById("content");
    if (!fresh?.dataset.stamp) return "the answer is not this page";
    if (paused()) return "";
    const focused = content.contains(document.activeElement) ? document.activeElement : null;
    change(content, fresh);
    document.title = page.title;
    if (focused && !focused.isConnected) [...content.querySelectorAll(focused.nodeName)].find(one => same(one, focused))?.focus({preventScroll: true});
  }
  line.querySelector("time").textContent = new Date(answer.headers.get("Date")).toISOString().slice(11, 19);
  return "";
}

// Returns why the content must stay as it is, or nothing.
function paused() {
  const changed = field => field.checked !== field.defaultChecked || (field.type !== "hidden" && field.value !== field.defaultValue);
  const used = "input:focus, textarea:focus, select:focus, button:focus, button:hover";
  if (content.querySelector(used) || [...content.querySelectorAll("input, textarea")].some(changed)) return ", paused while a form is in use";
  const selected = getSelection();
  return !selected.isCollapsed && content.contains(selected.anchorNode) ? ", paused while text is selected" : "";
}

// Makes an element equal to a fresh one. What is equal stays, with its focus and its place; so does what was opened.
function change(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) { old.nodeValue = fresh.nodeValue; return; }
  for (const {name} of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const {name, value} of fresh.attributes) if (name !== "open") old.setAttribute(name, value);
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    let found = at;
    while (found && !same(found, next)) found = found.nextSibling;
    if (!found) { old.insertBefore(next, at); continue; }
    removeFrom(at, found);
    at = found.nextSibling;
    change(found, next);
  }
  removeFrom(at, null);
}

function removeFrom(node, end) {
  while (node !== end) { const gone = node; node = node.nextSibling; gone.remove(); }
}

const same = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

// Returns what an element is about: a link never becomes another one, nor a row that of another job.
function keyOf(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return "";
  if (node.matches("tr, li, section")) return node.querySelector("a[href]")?.getAttribute("href") ?? "";
  return ["id", "href", "action", "name"].map(name => node.getAttribute(name) ?? "").join(" ") + (node.nodeName === "BUTTON" ? node.value : "");
}
