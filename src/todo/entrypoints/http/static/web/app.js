import { TodoClient } from "./client.js";
import { Sync } from "./sync.js";

const CHUNK = 50; // rows that are added to the list at once

const find = (id) => document.getElementById(id);
const root = new URL("..", import.meta.url).href;
const { tokenUrl, hasLink } = document.documentElement.dataset;

let token; // kept in memory alone
let asking; // { resolve, reject } of the token that the page asks for
let sync;
let view = "all";
let shown = CHUNK;
let visible = []; // the tasks that the view and the search leave
let current; // id of the row on which the keyboard is
let editing; // { id, task, form, before, content }: the row that is being edited
const removed = []; // what can be brought back, last removal last
const rows = new Map(); // by id: { element, task }

// Signing in

/** The token in the link that `todo serve` prints. It leaves the address bar at once. */
function takeLink() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found !== null) history.replaceState(null, "", location.pathname + location.search);
  return tokenUrl ? undefined : (found ?? undefined); // where an issuer signs people in, no link does
}

function readClaims(jwt) {
  try {
    const payload = atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (char) => char.charCodeAt(0)))) ?? {};
  } catch {
    return {};
  }
}

const isFresh = (jwt) => readClaims(jwt).exp * 1000 > Date.now();

/** Waits for a token if need be; `rejected` is one that the service did not accept. */
async function getToken(rejected) {
  if (isFresh(token) && token !== rejected) return token;
  const before = token;
  let reason = before === undefined ? "" : "Your sign-in has expired.";
  if (isFresh(before)) reason = "The service does not accept this token.";
  let next = tokenUrl ? await fetchToken() : undefined;
  while (!isFresh(next) || next === rejected) {
    next = await askForToken(reason);
    reason = isFresh(next) ? "The service does not accept this token." : "That is no token, or it has expired.";
  }
  token = next;
  const hadFocus = find("sign-in").contains(document.activeElement);
  find("sign-in").hidden = true;
  if (before === undefined || readClaims(before).sub === readClaims(next).sub) {
    if (hadFocus) focusEditorOr(find("title"));
    return next;
  }
  start();
  throw new Error("Somebody else has signed in.");
}

async function fetchToken() {
  try {
    find("issuer-away").hidden = true;
    const response = await fetch(tokenUrl, { credentials: "include" });
    return response.ok ? (await response.json()).token : undefined;
  } catch {
    find("issuer-away").hidden = false;
    return undefined;
  }
}

function askForToken(reason) {
  find("sign-in-reason").textContent = reason;
  find("sign-in-reason").hidden = reason === "";
  find("sign-in").hidden = false;
  if (find("tasks").hidden) find("token").focus();
  else announce(`${reason} What you do is kept here until you have signed in again.`);
  asking?.reject(new Error("Another token is asked for."));
  return new Promise((resolve, reject) => (asking = { resolve, reject }));
}

function describeSignIn() {
  const way = tokenUrl ? "issuer" : hasLink ? "link" : "token";
  for (const text of document.querySelectorAll("[data-way]")) text.hidden = text.dataset.way !== way;
  if (!tokenUrl) return;
  find("issuer").textContent = find("issuer").href = new URL(tokenUrl).origin;
  find("token-url").textContent = find("token-link").href = tokenUrl;
  find("own-origin").textContent = location.origin;
}

function start() {
  sync?.close();
  forgetRows();
  const claims = readClaims(token);
  // A request of who was signed in before must never go out with the token of somebody else.
  const getOwnToken = async (rejected) => {
    if (sync !== own) throw new Error("Signed out.");
    return getToken(rejected);
  };
  const client = new TodoClient({ url: root, getToken: getOwnToken });
  const own = new Sync(client, { name: claims.sub, onChange: render, onRefused: showRefusal });
  sync = own;
  find("who").textContent = claims.name ?? claims.sub;
  find("sign-out").hidden = Boolean(tokenUrl);
  find("tasks").hidden = false;
  find("title").focus();
  setTimeout(() => sync?.pending); // a browser takes a while to open its storage: while the tasks are on their way
  setTimeout(render, 200); // they mostly come sooner, and are rendered then
}

async function signIn(link) {
  token = link;
  await getToken();
  start();
}

function signOut() {
  sync.close();
  sync = undefined;
  forgetRows();
  find("tasks").hidden = find("sign-out").hidden = find("status").hidden = true;
  find("who").textContent = "";
  void signIn();
}

/** A link was opened in this very tab: by the person, or by another page that wants them to work for somebody else. */
function openLink(link) {
  const claims = readClaims(link);
  if (sync === undefined || !find("sign-in").hidden) asking?.resolve(link);
  else if (claims.sub === readClaims(token).sub) token = link;
  else showNotice(`A link of ${quote(String(claims.name ?? claims.sub))} was opened.`, [["Stay"], ["Sign in with it", () => signIn(link)]]);
}

function forgetRows() {
  editing = current = undefined;
  removed.length = 0;
  visible = [];
  rows.clear();
  find("list").replaceChildren();
  find("notices").replaceChildren();
  find("title").value = find("search").value = find("announcer").textContent = "";
}

// What is shown

/** The local date, as YYYY-MM-DD. */
function getDay(offset = 0) {
  const date = new Date();
  date.setDate(date.getDate() + offset);
  return [date.getFullYear(), date.getMonth() + 1, date.getDate()].map((part) => String(part).padStart(2, "0")).join("-");
}

const isLater = (one, other) => (one < other ? 1 : one > other ? -1 : 0); // for what comes first if it is later
const isUnsent = (task) => task.revision === 0;
const newest = (one, other) =>
  isUnsent(other) - isUnsent(one) ||
  (isUnsent(one) ? 0 : isLater(one.created_at, other.created_at)) ||
  isLater(one.id, other.id);
const dueFirst = ({ due: { date, time = "" } }, { due: other }) => isLater(other.date + (other.time ?? ""), date + time);

const VIEWS = {
  today: {
    holds: (task, day) => !task.completed && task.due !== null && task.due.date <= day,
    order: (one, other) => dueFirst(one, other) || newest(one, other),
    ask: "Add a task for today",
    nothing: "Nothing is due today.",
  },
  upcoming: {
    holds: (task, day) => !task.completed && task.due !== null && task.due.date > day,
    order: (one, other) => dueFirst(one, other) || newest(one, other),
    ask: "Add a task for tomorrow",
    nothing: "Nothing is due later.",
  },
  all: {
    holds: () => true,
    order: (one, other) => one.completed - other.completed || newest(one, other),
    ask: "Add a task",
    nothing: "Nothing to do yet. Type a task above, and press Enter.",
  },
  done: {
    holds: (task) => task.completed,
    order: (one, other) => isLater(one.completed_at ?? "9", other.completed_at ?? "9") || newest(one, other),
    ask: "Add a task",
    nothing: "Nothing is done yet.",
  },
};

const contains = (task, text) => [task.title, task.notes ?? "", ...task.labels].some((one) => one.toLowerCase().includes(text));

function render() {
  if (sync === undefined) return;
  const tasks = sync.isOnline === undefined ? new Map() : sync.tasks; // nothing before the service took the token
  const day = getDay();
  for (const button of find("views").children) {
    const { holds } = VIEWS[button.dataset.view];
    let count = 0;
    for (const task of tasks.values()) count += holds(task, day) && (button.dataset.view === "done" || !task.completed);
    button.lastElementChild.textContent = count;
    button.setAttribute("aria-pressed", button.dataset.view === view);
  }
  const text = find("search").value.trim().toLowerCase();
  visible = [...tasks.values()].filter((task) => VIEWS[view].holds(task, day) && (text === "" || contains(task, text)));
  visible.sort(VIEWS[view].order);
  find("title").placeholder = VIEWS[view].ask;
  renderRows(tasks);
  find("empty").hidden = visible.length > 0;
  find("welcome").hidden = tasks.size > 0 || sync.isOnline === undefined;
  find("empty").textContent = sync.isOnline === undefined ? "Loading…" : text === "" ? VIEWS[view].nothing : "Nothing matches.";
  renderStatus();
}

function renderStatus() {
  const wasOffline = !find("status").hidden;
  const isOffline = sync.isOnline === false;
  find("status").hidden = !isOffline;
  find("status").textContent = sync.pending === 0 ? "Offline" : `Offline, ${sync.pending} to send`;
  if (isOffline && !wasOffline) announce("Offline. What you do is kept here, and sent when the service can be reached.");
  if (!isOffline && wasOffline) announce("Online again.");
}

function renderRows(tasks) {
  const list = find("list");
  const wanted = visible.slice(0, shown);
  if (editing !== undefined && !wanted.some((task) => task.id === editing.id)) wanted.unshift(tasks.get(editing.id) ?? editing.task);
  const ids = new Set(wanted.map((task) => task.id));
  const focused = document.activeElement;
  const place = [...list.children].indexOf(focused.closest("#list > li"));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
  let next = list.firstElementChild;
  for (const task of wanted) {
    const row = rows.get(task.id) ?? addRow(task.id);
    if (row.task !== task) fillRow(row, task);
    // The row with the focus stays where it is, and the others move: moving it would end what is being typed.
    while (next !== row.element && row.element.contains(focused)) {
      const after = next.nextElementSibling;
      list.append(next);
      next = after;
    }
    if (row.element === next) next = next.nextElementSibling;
    else list.insertBefore(row.element, next);
  }
  if (!rows.has(current)) setCurrent((wanted[Math.max(place, 0)] ?? wanted.at(-1))?.id);
  if (place >= 0 && !focused.isConnected) focusRow(current);
  const rest = visible.length - shown;
  if (rest <= 0 && focused === find("more")) focusRow(wanted[place + 1]?.id ?? wanted.at(-1)?.id);
  find("more").hidden = rest <= 0;
  find("more").textContent = `Show more (${rest})`;
  nearEnd.unobserve(find("more"));
  if (rest > 0) nearEnd.observe(find("more"));
}

function addRow(id) {
  const element = find("row").content.firstElementChild.cloneNode(true);
  element.dataset.id = id;
  const row = { element };
  rows.set(id, row);
  return row;
}

function fillRow(row, task) {
  row.task = task;
  if (editing?.id === task.id) return;
  const [done, title, facts, remove] = row.element.children;
  row.element.className = task.completed ? "done" : "";
  done.checked = task.completed;
  done.setAttribute("aria-label", `Completed: ${task.title}`);
  title.textContent = task.title;
  facts.replaceChildren(...describe(task));
  remove.setAttribute("aria-label", `Remove: ${task.title}`);
}

function describe({ due, priority, labels, notes, completed }) {
  const make = (name, text) => Object.assign(document.createElement("span"), { className: name, textContent: text, dir: "auto" });
  const facts = [];
  if (due !== null) facts.push(make(due.date < getDay() && !completed ? "due late" : "due", formatDue(due)));
  if (priority !== null) facts.push(make(`priority ${priority}`, `${priority[0].toUpperCase()}${priority.slice(1)} priority`));
  for (const label of labels) facts.push(make("label", label));
  if (notes !== null) facts.push(make("notes", notes.trim().split("\n", 1)[0]));
  return facts;
}

function formatDue({ date, time, time_zone: zone }) {
  const days = Math.round((Date.parse(date) - Date.parse(getDay())) / 86_400_000);
  const format = (options) => new Date(date).toLocaleDateString("en-GB", { timeZone: "UTC", ...options });
  const isNear = days > 1 && days < 7;
  const year = date.slice(0, 4) === getDay().slice(0, 4) ? {} : { year: "numeric" };
  const far = isNear ? { weekday: "long" } : { day: "numeric", month: "short", ...year };
  const day = { "-1": "Yesterday", 0: "Today", 1: "Tomorrow" }[days] ?? format(far);
  return [day, time, zone?.replaceAll("_", " ")].filter(Boolean).join(" ");
}

function announce(text) {
  find("announcer").textContent = text;
}

// What a person does

/** Throws if there is no room to keep it. */
function add(title) {
  const day = { today: getDay(), upcoming: getDay(1) }[view];
  if (view === "done") view = "all";
  find("search").value = "";
  const id = sync.add({ title, ...(day === undefined ? {} : { due: { date: day } }) });
  if (rows.has(id)) setCurrent(id); // for who goes on to the list
  announce(`Added: ${title}`);
}

function complete(id) {
  const { completed, title } = rows.get(id).task;
  sync.change(id, { completed: !completed });
  announce(`${completed ? "Reopened" : "Completed"}: ${title}`);
}

function remove(id) {
  removed.push(rows.get(id).task);
  sync.remove(id);
  showRemoval();
  announce(`Removed: ${removed.at(-1).title}. Undo with u in the list, or with the button after it.`);
}

function undo() {
  const task = removed.pop();
  if (task === undefined) return;
  sync.restore(task);
  showRemoval();
  announce(`Restored: ${task.title}`);
  focusRow(rows.has(task.id) ? task.id : current);
}

/** `change`: what is in its fields, if that is not what the task has. */
function openEditor(id, change = {}) {
  if (!leaveEditor()) return;
  const { element, task: stored } = rows.get(id);
  const task = { ...stored, ...change };
  const form = find("editor").content.firstElementChild.cloneNode(true);
  const { title, notes, date, time, priority, labels } = form.elements;
  title.value = task.title;
  notes.value = task.notes ?? "";
  date.value = task.due?.date ?? "";
  time.value = task.due?.time ?? "";
  priority.value = task.priority ?? "";
  labels.value = task.labels.join(", ");
  const zone = form.querySelector(".zone");
  zone.hidden = task.due?.time_zone === undefined;
  zone.textContent = `The time is that of ${task.due?.time_zone}.`;
  const before = Object.keys(change).length === 0 ? readForm(form) : {};
  editing = { id, task: stored, form, before, content: [...element.children] };
  element.className = "editing";
  element.replaceChildren(form);
  title.focus();
}

const readForm = ({ elements }) =>
  Object.fromEntries(["title", "notes", "date", "time", "priority", "labels"].map((name) => [name, elements[name].value]));

/** Saves what was changed. Returns whether that could be left: not if it is invalid. */
function leaveEditor() {
  if (editing === undefined) return true;
  const now = readForm(editing.form);
  if (Object.entries(now).some(([name, value]) => value !== editing.before[name])) save();
  else closeEditor();
  return editing === undefined;
}

function focusEditorOr(element) {
  (editing?.form.elements.title ?? element).focus();
}

/** Puts the row back, and the focus if it was in there. */
function closeEditor() {
  if (editing === undefined) return;
  const { id, form, content } = editing;
  const { element, task } = rows.get(id);
  const hasFocus = form.contains(document.activeElement);
  editing = undefined;
  element.replaceChildren(...content);
  fillRow(rows.get(id), task);
  if (hasFocus) focusRow(id);
  render();
}

function save() {
  const { id, task, form, before } = editing;
  const { title, date } = form.elements;
  const now = readForm(form);
  title.setCustomValidity(now.title.trim() === "" ? "Give the task a title." : "");
  date.setCustomValidity(now.date === "" && now.time !== "" ? "Give the date of this time, too." : "");
  if (!form.reportValidity()) return;
  const change = {};
  if (now.title !== before.title) change.title = now.title;
  if (now.notes !== before.notes) change.notes = now.notes === "" ? null : now.notes;
  if (now.date !== before.date || now.time !== before.time) change.due = makeDue(now, task.due?.time_zone);
  if (now.priority !== before.priority) change.priority = now.priority === "" ? null : now.priority;
  if (now.labels !== before.labels) change.labels = splitLabels(now.labels, task.labels);
  closeEditor();
  if (Object.keys(change).length > 0) {
    sync.change(id, change, task.revision);
    announce("Saved.");
  }
}

function makeDue({ date, time }, zone) {
  if (date === "") return null;
  return { date, ...(time === "" ? {} : { time }), ...(time === "" || zone === undefined ? {} : { time_zone: zone }) };
}

/** At commas; a label that has one stays whole. */
function splitLabels(text, known) {
  const whole = known.filter((label) => label.includes(",") && text.includes(label));
  const rest = whole.reduce((left, label) => left.replace(label, ""), text);
  return [...new Set([...whole, ...rest.split(",").map((label) => label.trim())])].filter((label) => label !== "");
}

// Notices

function showNotice(text, actions) {
  const notice = document.createElement("div");
  notice.className = "notice";
  const sentence = document.createElement("p");
  sentence.textContent = text;
  notice.append(sentence);
  for (const [name, act] of actions) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
    button.onclick = () => {
      removeNotice(notice);
      act?.();
    };
    notice.append(button);
  }
  find("notices").append(notice);
  return notice;
}

function removeNotice(notice) {
  const hadFocus = notice?.contains(document.activeElement);
  notice?.remove();
  if (hadFocus) focusRow(current);
}

const quote = (text) => (text.length > 60 ? `“${text.slice(0, 60)}…”` : `“${text}”`);

let removal; // the notice of the last one

function showRemoval() {
  removeNotice(removal);
  const last = removed.at(-1);
  if (last !== undefined) removal = showNotice(`Removed ${quote(last.title)}.`, [["Undo", undo], ["Dismiss", () => (removed.length = 0)]]);
}

const refusals = new Map(); // by the id of the task: its notice

function showRefusal(operation, error) {
  const { kind, id, change } = operation;
  const title = operation.task?.title ?? sync.tasks.get(id)?.title ?? change?.title ?? "The task";
  let text = `${quote(title)} was not ${{ add: "added", change: "changed", remove: "removed", restore: "restored" }[kind]}: ${error.message}`;
  let actions = [["Dismiss"]];
  if (kind === "add" && find("title").value === "") find("title").value = title;
  if (kind === "remove") {
    removed.splice(0, removed.length, ...removed.filter((task) => task.id !== id));
    showRemoval();
  }
  if (error.status === 412 && kind === "remove") {
    text = `${quote(title)} has changed elsewhere, so it was not removed.`;
    actions = [["Keep it"], ["Remove it", () => rows.has(id) && remove(id)]];
  } else if (error.status === 412) {
    text = `${quote(title)} has changed elsewhere, so this was not saved: ${describeChange(change)}.`;
    actions = [["Keep theirs"], ["Use mine", () => sync.change(id, change)]];
  } else if (kind === "change" && rows.has(id)) {
    actions.push(["Edit again", () => rows.has(id) && openEditor(id, change)]);
  } else if (kind === "change") {
    text += ` It was to get ${describeChange(change)}.`;
    actions.push(["Add it as a new task", () => sync.add({ title, ...change })]);
  }
  announce(text);
  removeNotice(refusals.get(id));
  refusals.set(id, showNotice(text, actions));
}

function describeChange(change) {
  const texts = {
    title: (title) => `the title ${quote(title)}`,
    completed: (completed) => (completed ? "completed" : "not completed"),
    notes: (notes) => (notes === null ? "no notes" : `the notes ${quote(notes)}`),
    due: (due) => (due === null ? "no due date" : `due ${formatDue(due)}`),
    priority: (priority) => `${priority ?? "no"} priority`,
    labels: (labels) => (labels.length === 0 ? "no labels" : `the labels ${quote(labels.join(", "))}`),
  };
  return Object.entries(change).map(([name, value]) => texts[name](value)).join(", ");
}

// The keyboard. Only one row is in the tab order; arrows move it.

function setCurrent(id) {
  setTabIndex(current, -1);
  current = id;
  setTabIndex(current, 0);
}

function setTabIndex(id, index) {
  for (const control of rows.get(id)?.element.querySelectorAll("li > input, li > button") ?? []) control.tabIndex = index;
}

function focusRow(id) {
  const title = rows.get(id)?.element.querySelector(".title");
  (title ?? find("title")).focus();
}

function move(by) {
  const element = rows.get(current)?.element;
  const next = by > 0 ? element?.nextElementSibling : element?.previousElementSibling;
  if (next !== null && next !== undefined) focusRow(next.dataset.id);
}

function showAll() {
  shown = Math.max(shown, visible.length);
  render();
}

const KEYS = {
  ArrowDown: () => move(1),
  j: () => move(1),
  ArrowUp: () => move(-1),
  k: () => move(-1),
  Home: () => focusRow(find("list").firstElementChild.dataset.id),
  End: () => (showAll(), focusRow(find("list").lastElementChild.dataset.id)),
  e: () => openEditor(current),
  x: () => complete(current),
  d: () => remove(current),
  Delete: () => remove(current),
  u: () => undo(),
  n: () => find("title").focus(),
  "/": () => find("search").focus(),
  "?": () => find("keys").showModal(),
};

find("list").addEventListener("keydown", (event) => {
  if (editing?.form.contains(event.target)) {
    if (event.key === "Escape" && !event.isComposing) closeEditor();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
    return;
  }
  const act = KEYS[event.key];
  if (act === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if (!event.repeat || /Arrow|[jk]/.test(event.key)) act();
});

find("list").addEventListener("focusin", ({ target }) => setCurrent(target.closest("li").dataset.id));

find("list").addEventListener("click", ({ target }) => {
  const id = target.closest("li")?.dataset.id;
  if (target.closest(".title")) openEditor(id);
  else if (target.closest(".remove")) remove(id);
  else if (target.closest(".cancel")) closeEditor();
});

find("list").addEventListener("change", ({ target }) => {
  if (target.matches("li > input")) complete(target.closest("li").dataset.id);
});

find("list").addEventListener("submit", (event) => {
  event.preventDefault();
  save();
});

// The rest of the page

const nearEnd = new IntersectionObserver(([end]) => end.isIntersecting && showMore(), { rootMargin: "1000px" });

function showMore() {
  shown += CHUNK;
  render();
}

function show(name) {
  view = name;
  shown = CHUNK;
  render();
}

find("more").onclick = showMore;
find("search").oninput = () => show(view);
find("views").onclick = ({ target }) => {
  const button = target.closest("button");
  if (button !== null) show(button.dataset.view);
};
find("add").onsubmit = (event) => {
  event.preventDefault();
  const title = find("title").value.trim();
  try {
    if (title !== "") add(title);
    find("title").value = "";
  } catch {
    showNotice("There is no room in this browser to keep what was not sent.", [["Dismiss"]]);
  }
};
find("sign-in-form").onsubmit = (event) => {
  event.preventDefault();
  const pasted = find("token").value;
  find("token").value = "";
  asking?.resolve(/[\w-]+\.[\w-]+\.[\w-]+/.exec(pasted)?.[0] ?? pasted);
};
find("try-again").onclick = async () => {
  const next = await fetchToken();
  if (next !== undefined) asking?.resolve(next);
};
find("sign-out").onclick = signOut;
let docs; // the window with the docs, which asks for the token: an address would keep it in the history
find("docs").onclick = (event) => {
  event.preventDefault();
  docs = open(event.currentTarget.href, "_blank");
};
addEventListener("message", ({ origin, source, data }) => {
  if (origin === location.origin && source === docs && data === "token?") docs.postMessage({ token }, location.origin);
});
find("show-keys").onclick = () => find("keys").showModal();
find("close-keys").onclick = () => find("keys").close();

onhashchange = () => {
  const link = takeLink();
  if (link !== undefined) openLink(link);
};

let day = getDay();
setInterval(() => {
  if (day === getDay()) return;
  day = getDay();
  rows.forEach((row) => fillRow(row, row.task)); // "Tomorrow" is "Today" now
  if (sync !== undefined) render();
}, 60_000);

describeSignIn();
void signIn(takeLink());
