// The boxes of the contact sheet: how many are ticked, all or none at once, and a whole row by shift and click.
let last = null;
const boxes = () => [...element.querySelectorAll("input[type=checkbox]")];

function count() {
  const said = element.querySelector("output");
  const words = said?.dataset.words.replace("{count}", boxes().filter((box) => box.checked).length);
  if (said && said.textContent !== words) said.textContent = words; // else the observer below would never rest
}

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-tick]");
  for (const box of button ? boxes() : []) box.checked = button.dataset.tick === "all";
  const box = event.target.closest("input[type=checkbox]");
  if (!box) return count();
  const all = boxes();
  if (event.shiftKey && last && all.includes(last)) {
    const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    for (const other of all.slice(from, to + 1)) other.checked = box.checked;
  }
  last = box;
  count();
});
new MutationObserver(count).observe(element, { childList: true, subtree: true });
count();
