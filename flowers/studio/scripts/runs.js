// A column to sort by, and the runs whose curves are laid over each other, are told to the server, which draws anew.
element.addEventListener("click", event => {
  const head = event.target.closest("button[data-sort]");
  if (head) trigger("sort", {column: head.dataset.sort});
});
element.addEventListener("change", () => trigger("choose", {
  runs: [...element.querySelectorAll("input:checked")].map(box => box.value),
}));
// Once somebody has ticked a box, the browser no longer follows what is drawn.
watch("value", () => element.querySelectorAll("input").forEach(box => { box.checked = box.hasAttribute("checked"); }));
