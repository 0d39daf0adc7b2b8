// What the results do in the browser alone. Gradio runs this for each gr.HTML of them, with its `element`.

// Buttons ask the server for photos; reasons take longer and queue apart.
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-look]");
  if (!button) return;
  const look = JSON.parse(button.dataset.look);
  trigger(look.maps || look.open !== undefined ? "reasons" : "look", look);
});

// In the matrix, arrow keys lead to the next button in their direction; one button is in the page's tab order.
element.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  const table = event.target.closest("table.matrix");
  if (!table || !(step || event.key === "Home" || event.key === "End")) return;
  event.preventDefault();
  const rows = [...table.tBodies[0].rows];
  let next = null;
  if (step) {
    const cell = event.target.closest("td");
    let [y, x] = [rows.indexOf(cell.parentElement) + step[0], cell.cellIndex + step[1]];
    for (; !next && rows[y]?.cells[x]; y += step[0], x += step[1]) next = rows[y].cells[x].querySelector("button");
  } else {
    const all = [...table.querySelectorAll("button")];
    next = event.key === "Home" ? all[0] : all[all.length - 1];
  }
  if (!next) return;
  table.querySelectorAll('button[tabindex="0"]').forEach((button) => (button.tabIndex = -1));
  next.tabIndex = 0;
  next.focus();
});

// The slider that trades answers for accuracy.
element.addEventListener("input", (event) => {
  const card = event.target.closest("[data-curve]");
  if (!card) return;
  const curve = JSON.parse(card.dataset.curve);
  const [answered, right] = curve.counts[event.target.value];
  const percent = (share, digits) => `${(100 * share).toFixed(digits)}%`;
  const shareOf = (part, count) => { // as words.py says it
    if (count < 100) return curve.of.replace("{part}", part).replace("{count}", count);
    const digits = count < 1000 ? 0 : 1, finest = 10 ** -digits, share = (100 * part) / count;
    const kept = part === 0 || part === count ? share : Math.min(Math.max(share, finest), 100 - finest);
    return `${kept.toFixed(digits)}%`;
  };
  const told = {
    sure: percent(curve.levels[event.target.value], event.target.value < 100 ? 0 : 1),
    answered: shareOf(answered, curve.total),
    right: answered ? shareOf(right, answered) : "–",
  };
  for (const [name, text] of Object.entries(told)) card.querySelector(`[data-told="${name}"]`).textContent = text;
  const spoken = event.target.dataset.spoken.replace(/\{(\w+)\}/g, (_, name) => told[name]);
  event.target.setAttribute("aria-valuetext", spoken);
  const last = curve.counts[0]; // where all are answered, and the dot was drawn
  const mark = card.querySelector(".mark");
  mark.style.visibility = answered ? "" : "hidden";
  const x = (answered / curve.total - 1) * curve.scale[0];
  const y = (right / (answered || 1) - last[1] / last[0]) * curve.scale[1];
  mark.setAttribute("transform", `translate(${x} ${-y})`);
});

// Whoever asked for photos is taken to them, with the keyboard too.
watch("value", () => {
  const title = element.querySelector("[data-focus]");
  if (!title) return;
  title.focus({ preventScroll: true });
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  title.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
});
