// Charts by Vega-Lite, without eval: hover for values, drag to move, shift and wheel to zoom, click
// a legend entry to see it alone.

const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isDark = () => colourOf("--scheme") === "dark";

// A colour that can be seen on this page's ground.
const shade = (colour) => {
  if (!isDark()) return colour;
  const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  const light = (0.3 * parts[0] + 0.6 * parts[1] + 0.1 * parts[2]) / 255;
  const lift = Math.max(0, 0.62 - light);
  return `#${parts.map((v) => Math.round(v + (255 - v) * lift).toString(16).padStart(2, "0"))
    .join("")}`;
};

const chartConfig = () => {
  const [ink, soft, line] = ["--ink", "--soft", "--line"].map(colourOf);
  return {
    background: null, font: "system-ui, sans-serif",
    view: { stroke: line },
    axis: { labelColor: soft, titleColor: ink, gridColor: line, domainColor: line, tickColor: line,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
    legend: { labelColor: ink, titleColor: ink, labelFontSize: 12, labelLimit: 220,
      symbolStrokeWidth: 2, symbolOpacity: 1 },
    text: { fill: ink }, rule: { color: soft },
  };
};

let hint = null;
const tooltip = (_, event, item, value) => {
  hint ||= document.body.appendChild(el("div", { class: "hint", role: "tooltip" }));
  hint.hidden = value === null || value === undefined || value === "";
  if (hint.hidden) return;
  const pairs = typeof value === "object" ? Object.entries(value) : [["", value]];
  hint.replaceChildren(...pairs.map(([k, v]) => el("div", {}, k ? el("span", {}, `${k} `) : null,
    el("strong", {}, String(v)))));
  hint.style.left = `${Math.min(event.clientX + 14, innerWidth - hint.offsetWidth - 8)}px`;
  hint.style.top = `${Math.min(event.clientY + 14, innerHeight - hint.offsetHeight - 8)}px`;
};

const charts = new Map();

// Draws a specification into an element; an enlarged copy opens on request.
const draw = (place, spec, label, { large = false } = {}) => {
  const inside = el("div", { "aria-hidden": "true" }); // the label and the tables tell it
  const paper = el("div", { class: "paper", role: "img", "aria-label": label }, inside);
  const tools = el("div", { class: "tools" },
    el("button", { type: "button", class: "small", onclick: () => render() }, "Reset view"),
    large ? null : el("button", { type: "button", class: "small", onclick: () => {
      const copy = el("div", {});
      showDialog(label.split(".")[0], () => {}, copy);
      draw(copy, { ...spec, height: Math.max(300, innerHeight - 260) }, label, { large: true });
    } }, "Enlarge"));
  place.replaceChildren(paper, tools);
  let view = null;
  const render = () => {
    view?.finalize();
    const width = Math.max(240, paper.clientWidth - 16);
    const narrow = width < 560;
    const legend = narrow ? { orient: "bottom", columns: 1, direction: "vertical" } : {};
    const whole = { height: 320, ...spec, width, autosize: { type: "fit", contains: "padding" },
      config: { ...chartConfig(), legend: { ...chartConfig().legend, ...legend } } };
    if (narrow) whole.height += 22 * (spec.usermeta?.entries || 0);
    const compiled = vegaLite.compile(whole).spec;
    view = new vega.View(vega.parse(compiled, null, { ast: true }), {
      expr: vegaInterpreter.expressionInterpreter, renderer: "svg", container: inside, hover: true,
      tooltip,
    });
    view.runAsync();
  };
  charts.set(place, render);
  let last = 0;
  const resized = new ResizeObserver(() => {
    if (!place.isConnected) {
      resized.disconnect();
      charts.delete(place);
      view?.finalize();
    } else if (paper.clientWidth && Math.abs(paper.clientWidth - last) > 2) {
      last = paper.clientWidth;
      render();
    }
  });
  resized.observe(paper);
};

const redrawCharts = () => {
  for (const render of charts.values()) render();
};

const ZOOM = { name: "zoom", select: { type: "interval", zoom: "wheel![event.shiftKey]" },
  bind: "scales" };
const PICK = (field) => ({ name: "pick", select: { type: "point", fields: [field] },
  bind: "legend" });
const FADED = (strong) => ({ condition: { param: "pick", value: strong }, value: 0.06 });

const SHAPES = { o: "circle", s: "square", "^": "triangle-up", v: "triangle-down", D: "diamond",
  "<": "triangle-left", ">": "triangle-right", P: "cross", X: MARKERS.X, p: MARKERS.p,
  h: MARKERS.h, "*": MARKERS["*"] };
const shapeOf = (look) => {
  const shape = SHAPES[look.marker] || "circle";
  return shape.startsWith("M") ? shape.replace(/-?\d*\.?\d+/g, (n) => String(n / 5)) : shape;
};

// Colour, marker and dash by name of sampler: the same as in the figures.
const looksOf = (names) => {
  const looks = names.map((n) => data.looks[n] || { colour: "#7F7F7F", marker: "o" });
  const scale = (range) => ({ domain: names, range });
  return {
    color: scale(looks.map((l) => shade(l.colour))),
    shape: scale(looks.map(shapeOf)),
    dash: scale(looks.map((l) => (l.dashed ? [5, 3] : [1, 0]))),
  };
};
