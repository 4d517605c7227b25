// Small helpers: elements, numbers as text, the state in the address, downloads, dialogs.

const SVG = "http://www.w3.org/2000/svg";

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value);
    }
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return element;
};
const el = (name, attributes = {}, ...children) => fill(
  document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) => fill(
  document.createElementNS(SVG, name), attributes, children);
// A long name that may break after its signs.
const breakable = (text) => text.split(/(?<=[_(=,])/).flatMap(
  (part, i) => (i ? [el("wbr"), part] : [part]));
const byId = (id) => document.getElementById(id);

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
const fixed = (value, places = 2) => (known(value) ? value.toFixed(places) : "");
const signed = (value, places = 2) => {
  if (!known(value)) return "";
  const text = Math.abs(value).toFixed(places);
  return (Number(text) === 0 ? "\u00b1" : value < 0 ? "\u2212" : "+") + text;
};
const brief = (value) => {
  if (!known(value)) return "";
  const size = Math.abs(value);
  if (size >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (size >= 1e4) return `${(value / 1e3).toPrecision(3)} k`;
  return String(Number(value.toPrecision(4)));
};
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const pText = (p) => (!known(p) ? "" : p < 0.001 ? "<0.001" : p.toFixed(3));

// The state of the page; what differs from its start is in the address after "?".
const START = {
  pool: "0", tab: "samplers", base: "", q: "", sort: "", cols: "", hide: "", tasks: "", task: "",
  row: "", a: "", b: "", quantity: "", view: "", lines: "", na: "", nb: "", nv: "", moment: "first",
  anchor: "0", cost: "",
};
const state = { ...START };
const listeners = [];

const readAddress = () => {
  const [section, query] = location.hash.slice(1).split("?");
  const found = new URLSearchParams(query || "");
  for (const name of Object.keys(START)) state[name] = found.get(name) ?? START[name];
  return section;
};

const writeAddress = (section) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value !== START[name]) query.set(name, value);
  }
  const before = location.hash.slice(1).split("?")[0];
  const text = query.toString();
  const hash = `#${section ?? before}${text ? `?${text}` : ""}`;
  history.replaceState(null, "", hash === "#" ? location.pathname + location.search : hash);
};

const change = (values, section) => {
  Object.assign(state, values);
  writeAddress(section);
  for (const listener of listeners) listener(Object.keys(values));
};

// Calls back when one of these names of the state changes, and once now.
const watch = (names, render) => {
  listeners.push((changed) => {
    if (changed.some((name) => names.includes(name))) render();
  });
  render();
};

// As `watch`, from when the section comes near the window; printing shows them all.
const pending = new Map();
const watchLater = (id, names, render) => {
  const begin = () => {
    if (!pending.delete(id)) return;
    seen.disconnect();
    watch(names, render);
  };
  const seen = new IntersectionObserver((entries) => {
    if (entries.some((e) => e.isIntersecting)) begin();
  }, { rootMargin: "600px" });
  pending.set(id, begin);
  seen.observe(byId(id));
};

const listed = (text) => (text ? JSON.parse(text) : []);
const asList = (values) => (values.length ? JSON.stringify(values) : "");

const download = (name, text, type) => {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};

const copyButton = (text, label = "Copy") => {
  const button = el("button", { type: "button", class: "small" }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select the text and copy it";
    }
    setTimeout(() => { button.textContent = label; }, 2000);
  });
  return button;
};

const code = (text, label) => el("div", { class: "code" },
  el("pre", { tabindex: 0, role: "region", "aria-label": label }, text), copyButton(text));

const chooser = (label, options, value, onchange, attributes = {}) => {
  const select = el("select", attributes, options.map((o) => (o.options
    ? el("optgroup", { label: o.label }, o.options.map((i) => el(
      "option", { value: i.value, selected: i.value === value }, i.label)))
    : el("option", { value: o.value, selected: o.value === value }, o.label))));
  select.addEventListener("change", () => onchange(select.value));
  return el("label", {}, el("span", {}, label), select);
};
const plainOptions = (values) => values.map((v) => ({ value: v, label: v }));

const showDialog = (title, onclose, ...content) => {
  for (const open of document.querySelectorAll("dialog")) open.remove();
  const dialog = el("dialog", { "aria-label": title });
  dialog.append(
    el("div", { class: "bar" }, el("h2", {}, title),
      el("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    ...content);
  dialog.addEventListener("close", () => { dialog.remove(); onclose(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
};

const region = (label, ...content) => el(
  "div", { class: "wide", role: "region", tabindex: 0, "aria-label": label }, ...content);

const dataTable = (caption, heads, rows) => el("table", {},
  caption ? el("caption", {}, caption) : null,
  el("thead", {}, el("tr", {}, heads.map((head, i) => el(
    "th", { scope: "col", class: i ? "number" : null }, head)))),
  el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, i) => el(
    i ? "td" : "th", i ? { class: "number" } : { scope: "row" }, cell))))));

// Compressed JSON that is read when it is first asked for.
const unpacked = new Map();
const unpack = (id) => {
  if (!unpacked.has(id)) {
    unpacked.set(id, (async () => {
      const raw = Uint8Array.from(atob(byId(id).textContent.trim()), (c) => c.charCodeAt(0));
      const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("deflate"));
      return JSON.parse(await new Response(stream).text());
    })());
  }
  return unpacked.get(id);
};

const MARKERS = {
  o: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", s: "M-3.5,-3.5h7v7h-7z", "^": "M0,-4.5L4.5,3.5H-4.5z",
  v: "M0,4.5L4.5,-3.5H-4.5z", D: "M0,-5L4,0L0,5L-4,0z", "<": "M-4.5,0L3.5,-4.5V4.5z",
  ">": "M4.5,0L-3.5,-4.5V4.5z", P: "M-1.5,-4.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
  X: "M-4,-2L-2,-4L0,-2L2,-4L4,-2L2,0L4,2L2,4L0,2L-2,4L-4,2L-2,0z",
  p: "M0,-4.5L4.3,-1.4L2.6,3.6H-2.6L-4.3,-1.4z", h: "M0,-4.5L4,-2.2V2.2L0,4.5L-4,2.2V-2.2z",
  "*": "M0,-5L1.5,-1.6L5,-1.5L2.3,.7L3.2,4.2L0,2.2L-3.2,4.2L-2.3,.7L-5,-1.5L-1.5,-1.6z",
};
const swatch = (look) => svg("svg", { class: "swatch", viewBox: "-6 -6 12 12", "aria-hidden": "true" },
  svg("path", { d: MARKERS[look.marker] || MARKERS.o, fill: shade(look.colour) }));
