// The picture with the slider, and its legend. Gradio runs this once for each viewer, with `element`, `props` and `watch`; the value
// is what crfasrnn.demo.answers.view gives.
const OPACITY = 0.55;
const part = (name) => element.querySelector(".crf-" + name);
const state = { cut: 0.5, focus: null, pinned: null, shown: null };

const decoded = async (url) => {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
};

// Photograph, class colours and boundaries; with a class in focus all other pixels grey.
const paint = (canvas, photograph, labels, classes, focus) => {
  const { width, height, data } = photograph;
  const out = new ImageData(width, height), at = labels.data;
  for (let p = 0, i = 0; p < width * height; p++, i += 4) {
    const label = at[i], known = classes.get(label);
    const edge = (p % width && at[i - 4] !== label) || (p >= width && at[i - 4 * width] !== label);
    let r = data[i], g = data[i + 1], b = data[i + 2];
    if (focus !== null && label !== focus) {
      r = g = b = 0.25 * (0.3 * r + 0.59 * g + 0.11 * b) + 20;
    } else if (known && !known.background) {
      const opacity = focus === null ? OPACITY : 0.25;
      r += opacity * (known.colour[0] - r);
      g += opacity * (known.colour[1] - g);
      b += opacity * (known.colour[2] - b);
    }
    if (edge && (focus === null || label === focus || at[i - 4] === focus || at[i - 4 * width] === focus)) r = g = b = 255;
    out.data[i] = r;
    out.data[i + 1] = g;
    out.data[i + 2] = b;
    out.data[i + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(out, 0, 0);
};

const repaint = () => {
  if (!state.shown) return;
  const { photograph, before, after, classes } = state.shown;
  const focus = state.focus ?? state.pinned;
  paint(part("before"), photograph, before, classes, focus);
  paint(part("after"), photograph, after, classes, focus);
  element.querySelectorAll(".crf-legend button").forEach((button) => {
    button.classList.toggle("on", Number(button.dataset.label) === focus);
    button.setAttribute("aria-pressed", Number(button.dataset.label) === state.pinned);
  });
};

const cut = (share) => {
  state.cut = Math.min(1, Math.max(0, share));
  part("stage").style.setProperty("--cut", 100 * state.cut + "%");
  part("cut").setAttribute("aria-valuenow", Math.round(100 * state.cut));
};

const percent = (share) => (share && share < 0.1 ? "<0.1" : share.toFixed(1));

const legend = (classes) => {
  const list = part("legend");
  list.replaceChildren(...classes.map((known) => {
    const button = document.createElement("button"), swatch = document.createElement("i");
    const name = document.createElement("b"), share = document.createElement("span");
    button.type = "button";
    button.dataset.label = known.label;
    button.title = `${known.name}: ${percent(known.before)} % of the pixels ${props.left}, ${percent(known.after)} % with ${props.right}`;
    if (known.background) swatch.className = "none";
    else swatch.style.background = `rgb(${known.colour})`;
    name.textContent = known.name;
    share.textContent = `${percent(known.before)} → ${percent(known.after)} %`;
    button.append(swatch, name, share);
    return button;
  }));
};

const facts = (found) => {
  const time = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`);
  const told = [];
  if (found.network !== null) told.push(["network", time(found.network)]);
  told.push(["CRF", time(found.crf)], ["iterations", found.iterations]);
  if (found.changed !== null) told.push(["relabelled", `${found.changed} %`]);
  told.push(["computed at", found.grid.join(" × ")], ["classes", found.classes]);
  part("facts").replaceChildren(...told.map(([name, value]) => {
    const item = document.createElement("span"), strong = document.createElement("b");
    strong.textContent = value;
    item.append(name + " ", strong);
    return item;
  }));
};

let newest = 0;
const show = async () => {
  const value = props.value, turn = ++newest;
  part("view").classList.toggle("empty", !value);
  if (!value) {
    state.shown = null;
    return;
  }
  const pictures = await Promise.all([value.photograph, value.before, value.after].map(decoded));
  if (turn !== newest) return;
  const [photograph, before, after] = pictures;
  state.shown = { photograph, before, after, classes: new Map(value.classes.map((known) => [known.label, known])) };
  if (!state.shown.classes.has(state.pinned)) state.pinned = null;
  state.focus = null;
  part("stage").style.aspectRatio = `${photograph.width} / ${photograph.height}`;
  part("stage").style.setProperty("--wide", `${(62 * photograph.width) / photograph.height}vh`);
  legend(value.classes);
  facts(value.facts);
  cut(state.cut);
  repaint();
  part("view").dataset.answer = turn;
};

const where = (event) => {
  const box = part("stage").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
};

const tip = (event) => {
  const box = part("tip"), [x, y] = where(event);
  box.hidden = !state.shown || x < 0 || y < 0 || x >= 1 || y >= 1;
  if (box.hidden) return;
  const { photograph, before, after, classes } = state.shown;
  const i = 4 * (Math.floor(y * photograph.height) * photograph.width + Math.floor(x * photograph.width));
  const name = (labels) => classes.get(labels.data[i])?.name ?? "unknown";
  box.textContent = name(x < state.cut ? before : after);
  box.style.left = `${100 * x}%`;
  box.style.top = `${100 * y}%`;
};

element.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".crf-stage") || !state.shown) return;
  event.preventDefault();
  part("cut").focus({ preventScroll: true });
  part("stage").setPointerCapture(event.pointerId);
  state.dragging = true;
  cut(where(event)[0]);
});
element.addEventListener("pointermove", (event) => {
  if (state.dragging) cut(where(event)[0]);
  if (event.target.closest(".crf-stage")) tip(event);
  else part("tip").hidden = true;
});
element.addEventListener("pointerup", () => { state.dragging = false; });
element.addEventListener("pointerleave", () => { part("tip").hidden = true; });
element.addEventListener("keydown", (event) => {
  if (!event.target.closest(".crf-cut")) return;
  const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  cut(state.cut + step);
});

const labelOf = (event) => {
  const button = event.target.closest(".crf-legend button");
  return button ? Number(button.dataset.label) : null;
};
const focusOn = (event) => {
  const label = labelOf(event);
  if (label === state.focus) return;
  state.focus = label;
  repaint();
};
element.addEventListener("pointerover", focusOn);
element.addEventListener("focusin", focusOn);
element.addEventListener("mouseleave", focusOn);
element.addEventListener("click", (event) => {
  const label = labelOf(event);
  if (label === null) return;
  state.pinned = state.pinned === label ? null : label;
  state.focus = null;
  repaint();
});

const save = async (what) => {
  const file = await server.save({ key: props.value.key, what });
  if (!file) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await fetch(file.url)).blob());
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
};
element.addEventListener("click", (event) => {
  const button = event.target.closest(".crf-files button");
  if (button && props.value) save(button.dataset.what);
});

watch("value", show);
show();
