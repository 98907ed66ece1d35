// Drawing labels on the photograph. The value is {photograph, labels, strokes} as crfasrnn.demo.page makes it; every stroke that ends
// is told by the event "stroke", with all strokes as crfasrnn.demo.uploads.scribbles takes them.
const ERASER = 255;
const part = (name) => element.querySelector(".crf-" + name);
const state = { strokes: [], label: 1, size: 0.03, photograph: null, drawing: null };

const draw = () => {
  const canvas = part("ink"), context = canvas.getContext("2d"), wide = canvas.width;
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.lineCap = context.lineJoin = "round";
  for (const { label, size, points } of state.strokes) {
    context.globalCompositeOperation = label === ERASER ? "destination-out" : "source-over";
    context.strokeStyle = label === ERASER ? "#000" : `rgb(${props.value.labels[label].colour})`;
    context.lineWidth = size * wide;
    context.beginPath();
    context.moveTo(points[0] * wide, points[1] * wide);
    for (let i = 0; i < points.length; i += 2) context.lineTo(points[i] * wide, points[i + 1] * wide);
    context.stroke();
  }
};

const told = () => trigger("stroke", { strokes: state.strokes });

const choose = (label) => {
  state.label = label;
  element.querySelectorAll(".crf-pens [data-label]").forEach((button) => {
    button.setAttribute("aria-pressed", Number(button.dataset.label) === label);
  });
};

const pen = (label, name, colour) => {
  const button = document.createElement("button"), swatch = document.createElement("i");
  button.type = "button";
  button.dataset.label = label;
  if (colour) swatch.style.background = `rgb(${colour})`;
  else swatch.className = "none";
  button.append(swatch, name);
  return button;
};

const show = () => {
  const value = props.value;
  part("draw").classList.toggle("empty", !value);
  if (!value) {
    state.photograph = null;
    return;
  }
  if (value.photograph === state.photograph) return;
  state.photograph = value.photograph;
  state.strokes = value.strokes;
  part("pens").replaceChildren(...value.labels.map((known, label) => pen(label, known.name, known.colour)), pen(ERASER, "eraser", null));
  choose(state.label);
  const picture = part("paper"), canvas = part("ink");
  picture.src = value.photograph;
  picture.decode().then(() => {
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    draw();
  });
};

const where = (event) => {
  const box = part("ink").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.width].map((v) => Math.round(v * 1e4) / 1e4);
};

element.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".crf-ink")) return;
  event.preventDefault();
  part("ink").setPointerCapture(event.pointerId);
  state.drawing = { label: state.label, size: state.size, points: where(event) };
  state.strokes.push(state.drawing);
  draw();
});
element.addEventListener("pointermove", (event) => {
  if (!state.drawing) return;
  state.drawing.points.push(...where(event));
  draw();
});
element.addEventListener("pointerup", () => {
  if (!state.drawing) return;
  state.drawing = null;
  told();
});
element.addEventListener("input", (event) => {
  if (event.target.closest(".crf-size")) state.size = Number(event.target.value) / 100;
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.label) choose(Number(button.dataset.label));
  else if (state.strokes.length) {
    if (button.dataset.does === "undo") state.strokes.pop();
    else state.strokes = [];
    draw();
    told();
  }
});

watch("value", show);
show();
